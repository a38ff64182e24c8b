// @grpc/grpc-js' client of the interop cases: --target=ADDRESS --test_case=CASE. Exits with 0 if it
// passed. grpc-js does not say whether a response was compressed: the cases of server_compressed only see
// that it is read.
'use strict';
const assert = require('assert');
const { grpc, testing, INITIAL, TRAILING, payload, flags } = require('./stubs');

const REQUESTS = [27182, 8, 1828, 45904];
const RESPONSES = [31415, 9, 2653, 58979];
const NO_COMPRESS = 2; // a flag of write(), that grpc-js does not name to its users
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
const { target, test_case: testCase } = flags();

const clients = [];
function open(Service = testing.TestService, options = {}) {
  const client = new Service(target, grpc.credentials.createInsecure(), options);
  clients.push(client);
  return client;
}
const openGzip = () => open(testing.TestService,
  { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip });

const large = (more = {}) => ({ response_size: 314159, payload: payload(271828), ...more });
const output = (sizes, size, more = {}) => ({
  response_parameters: sizes.map((wanted) => ({ size: wanted })), payload: payload(size), ...more });
const sizeOf = (response) => response.payload.body.length;

// { code, details, response, initial, trailing } of a call of one response. Without a request it is a stream of
// them, which options.start(call) sends.
function ask(client, method, request, metadata = new grpc.Metadata(), options = {}) {
  return new Promise((resolve) => {
    const result = {};
    const done = (error, response) => {
      Object.assign(result, { code: error ? error.code : 0, details: error && error.details, response });
    };
    const call = request === null
      ? client[method](metadata, options, done) : client[method](request, metadata, options, done);
    call.on('metadata', (initial) => { result.initial = initial; });
    call.on('status', (status) => { setImmediate(() => resolve({ ...result, trailing: status.metadata })); });
    if (options.start) options.start(call);
  });
}

// The same of a stream of responses; onData may be given each.
function listen(call, onData = () => {}) {
  return new Promise((resolve) => {
    const result = { sizes: [] };
    call.on('data', (response) => { result.sizes.push(sizeOf(response)); onData(result.sizes.length); });
    call.on('metadata', (initial) => { result.initial = initial; });
    call.on('error', () => {});
    call.on('status', (status) => {
      resolve({ ...result, code: status.code, details: status.details, trailing: status.metadata });
    });
  });
}

function checkLarge({ code, details, response }) {
  assert.strictEqual(code, 0, details);
  assert.ok(response.payload.body.equals(Buffer.alloc(314159)), 'not 314159 zeros');
}

function checkStream(result, sizes) {
  assert.strictEqual(result.code, 0, result.details);
  assert.deepStrictEqual(result.sizes, sizes);
}

// Sends them all; each is a message, and whether it is to go uncompressed.
const sendAll = (requests) => ({
  start: (call) => {
    for (const [message, plain] of requests) call.write(message, plain ? NO_COMPRESS : 0);
    call.end();
  },
});

const input = (size, more = {}) => ({ payload: payload(size), ...more });

const cases = {
  async empty_unary() {
    assert.deepStrictEqual((await ask(open(), 'EmptyCall', {})).response, {});
  },
  async large_unary() {
    checkLarge(await ask(open(), 'UnaryCall', large()));
  },
  async client_compressed_unary() {
    const [plain, gzip] = [open(), openGzip()];
    const expected = (value) => large({ expect_compressed: { value } });
    assert.strictEqual((await ask(plain, 'UnaryCall', expected(true))).code, grpc.status.INVALID_ARGUMENT);
    checkLarge(await ask(gzip, 'UnaryCall', expected(true)));
    checkLarge(await ask(plain, 'UnaryCall', expected(false)));
  },
  async server_compressed_unary() {
    for (const value of [true, false]) {
      checkLarge(await ask(open(), 'UnaryCall', large({ response_compressed: { value } })));
    }
  },
  async client_streaming() {
    const result = await ask(open(), 'StreamingInputCall', null, undefined,
      sendAll(REQUESTS.map((size) => [input(size)])));
    assert.strictEqual(result.code, 0, result.details);
    assert.strictEqual(result.response.aggregated_payload_size, 74922);
  },
  async client_compressed_streaming() {
    const expected = (size, value) => input(size, { expect_compressed: { value } });
    const probe = await ask(open(), 'StreamingInputCall', null, undefined, sendAll([[expected(27182, true)]]));
    assert.strictEqual(probe.code, grpc.status.INVALID_ARGUMENT, probe.details);
    const result = await ask(openGzip(), 'StreamingInputCall', null, undefined,
      sendAll([[expected(27182, true)], [expected(45904, false), true]]));
    assert.strictEqual(result.code, 0, result.details);
    assert.strictEqual(result.response.aggregated_payload_size, 73086);
  },
  async server_streaming() {
    checkStream(await listen(open().StreamingOutputCall(output(RESPONSES, 0))), RESPONSES);
  },
  async server_compressed_streaming() {
    const request = { response_parameters: [
      { size: 31415, compressed: { value: true } }, { size: 92653, compressed: { value: false } }] };
    checkStream(await listen(open().StreamingOutputCall(request)), [31415, 92653]);
  },
  async half_duplex() {
    const call = open().HalfDuplexCall();
    for (const size of RESPONSES) call.write(output([size], 0));
    call.end();
    checkStream(await listen(call), RESPONSES);
  },
  async ping_pong() {
    const call = open().FullDuplexCall();
    const send = (i) => (i < RESPONSES.length ? call.write(output([RESPONSES[i]], REQUESTS[i])) : call.end());
    const all = listen(call, send);
    send(0);
    checkStream(await all, RESPONSES);
  },
  async empty_stream() {
    const call = open().FullDuplexCall();
    call.end();
    checkStream(await listen(call), []);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, 'test_initial_metadata_value');
    metadata.set(TRAILING, Buffer.from([0xab, 0xab, 0xab]));
    const unary = await ask(open(), 'UnaryCall', large(), metadata);
    checkLarge(unary);
    const call = open().FullDuplexCall(metadata);
    call.write(output([314159], 271828));
    call.end();
    const stream = await listen(call);
    checkStream(stream, [314159]);
    for (const { initial, trailing } of [unary, stream]) {
      assert.deepStrictEqual(initial.get(INITIAL), ['test_initial_metadata_value']);
      assert.deepStrictEqual(trailing.get(TRAILING), [Buffer.from([0xab, 0xab, 0xab])]);
    }
  },
  async status_code_and_message() {
    const status = { response_status: { code: 2, message: 'test status message' } };
    const unary = await ask(open(), 'UnaryCall', status);
    const call = open().FullDuplexCall();
    call.write(status);
    call.end();
    for (const { code, details } of [unary, await listen(call)]) {
      assert.deepStrictEqual([code, details], [2, 'test status message']);
    }
  },
  async special_status_message() {
    const { code, details } = await ask(open(), 'UnaryCall', { response_status: { code: 2, message: SPECIAL } });
    assert.deepStrictEqual([code, details], [2, SPECIAL]);
  },
  async unimplemented_method() {
    assert.strictEqual((await ask(open(), 'UnimplementedCall', {})).code, grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    const client = open(testing.UnimplementedService);
    assert.strictEqual((await ask(client, 'UnimplementedCall', {})).code, grpc.status.UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const result = await ask(open(), 'StreamingInputCall', null, undefined, { start: (call) => call.cancel() });
    assert.strictEqual(result.code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const call = open().FullDuplexCall();
    const all = listen(call, () => call.cancel());
    call.write(output([31415], 27182));
    const result = await all;
    assert.strictEqual(result.code, grpc.status.CANCELLED);
    assert.deepStrictEqual(result.sizes, [31415]);
  },
  async timeout_on_sleeping_server() {
    const call = open().FullDuplexCall({ deadline: Date.now() + 1 });
    call.write(output([], 27182));
    assert.strictEqual((await listen(call)).code, grpc.status.DEADLINE_EXCEEDED);
  },
  async concurrent_large_unary() {
    const client = open();
    const all = Array.from({ length: 1000 }, () => ask(client, 'UnaryCall', large()));
    for (const result of await Promise.all(all)) checkLarge(result);
  },
};

async function main() {
  const client = open();
  await new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + 10000, (error) => (error ? reject(error) : resolve()));
  });
  await cases[testCase]();
  clients.forEach((each) => each.close());
}

main().catch((error) => { console.error(String(error.stack || error)); process.exit(1); });
