// grpc.testing.TestService served by @grpc/grpc-js: --port=N, or --address=unix:PATH. Prints where it
// listens, ends on SIGTERM. It compresses no responses and does not tell what was compressed: with
// expect_compressed a call is UNIMPLEMENTED.
'use strict';
const { setTimeout: sleep } = require('timers/promises');
const { grpc, testing, INITIAL, TRAILING, payload, flags } = require('./stubs');

// What the call echoes: initial metadata are sent at once, trailing ones are answered.
function echoMetadata(call) {
  const initial = new grpc.Metadata();
  const trailing = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) initial.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) trailing.add(TRAILING, value);
  if (initial.get(INITIAL).length > 0) call.sendMetadata(initial);
  return trailing;
}

// The failure that the request asks for, or that it has met; null: none.
function failure(request) {
  if (request.expect_compressed) {
    return { code: grpc.status.UNIMPLEMENTED, details: 'grpc-js does not tell what was compressed' };
  }
  const status = request.response_status;
  return status && status.code !== 0 ? { code: status.code, details: status.message } : null;
}

function unaryCall(call, callback) {
  const trailing = echoMetadata(call);
  const failed = failure(call.request);
  if (failed) callback(failed);
  else callback(null, { payload: payload(call.request.response_size) }, trailing);
}

function cacheableUnaryCall(call, callback) {
  const initial = new grpc.Metadata();
  initial.set('cache-control', 'max-age=60, public');
  call.sendMetadata(initial);
  callback(null, { payload: { body: Buffer.from(String(process.hrtime.bigint())) } });
}

// One response for each of the parameters, no faster than the client takes them.
async function respond(call, request) {
  for (const wanted of request.response_parameters) {
    if (wanted.interval_us > 0) await sleep(wanted.interval_us / 1000);
    if (call.cancelled) return;
    if (!call.write({ payload: payload(wanted.size) })) {
      await new Promise((resolve) => { call.once('drain', resolve); call.once('cancelled', resolve); });
    }
  }
}

async function streamingOutputCall(call) {
  echoMetadata(call);
  await respond(call, call.request);
  const failed = failure(call.request);
  if (failed) call.emit('error', failed);
  else call.end();
}

function streamingInputCall(call, callback) {
  let size = 0;
  let failed = null;
  call.on('data', (request) => {
    failed = failed || failure(request);
    size += request.payload ? request.payload.body.length : 0;
  });
  call.on('end', () => (failed ? callback(failed) : callback(null, { aggregated_payload_size: size })));
}

async function answer(call, request) {
  await respond(call, request);
  const failed = failure(request);
  if (failed) call.emit('error', failed);
  return failed === null;
}

// The answers come in the order of the requests, each when the one before it is done.
function fullDuplexCall(call) {
  const trailing = echoMetadata(call);
  let going = Promise.resolve(true);
  call.on('data', (request) => { going = going.then((on) => on && answer(call, request)); });
  call.on('end', () => going.then((on) => on && call.end(trailing)));
}

function halfDuplexCall(call) {
  const requests = [];
  call.on('data', (request) => requests.push(request));
  call.on('end', async () => {
    for (const request of requests) if (!await answer(call, request)) return;
    call.end();
  });
}

const server = new grpc.Server();
server.addService(testing.TestService.service, {
  EmptyCall: (call, callback) => callback(null, {}, echoMetadata(call)),
  UnaryCall: unaryCall,
  CacheableUnaryCall: cacheableUnaryCall,
  StreamingOutputCall: streamingOutputCall,
  StreamingInputCall: streamingInputCall,
  FullDuplexCall: fullDuplexCall,
  HalfDuplexCall: halfDuplexCall,
});
const { port = '0', address } = flags();
process.on('SIGTERM', () => process.exit(0));
server.bindAsync(address || `127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
  if (error) throw error;
  console.log(`listens on ${address || `ipv4:127.0.0.1:${bound}`}`);
});
