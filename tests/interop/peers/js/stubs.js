// grpc.testing, loaded from idl/ (IDL names the folder), and what server and client share.
'use strict';
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync('grpc/testing/test.proto',
  { includeDirs: [process.env.IDL], keepCase: true, defaults: true });
const testing = grpc.loadPackageDefinition(definition).grpc.testing;

const INITIAL = 'x-grpc-test-echo-initial';
const TRAILING = 'x-grpc-test-echo-trailing-bin';

const payload = (size) => ({ type: 'COMPRESSABLE', body: Buffer.alloc(size) });

// --name=value, as an object.
const flags = () => Object.fromEntries(process.argv.slice(2).map((word) => {
  const [, name, value] = /^--([a-z_]+)=(.*)$/.exec(word);
  return [name, value];
}));

module.exports = { grpc, testing, INITIAL, TRAILING, payload, flags };
