"""grpcio's client against hooks-server (argument 1): tokens, google.rpc.Status, any path; and through raw-proxy
(argument 2) to grpcio's server (argument 3). google.rpc.Status is made of the folder of interfaces (argument 4)."""
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
import pair_pb2
import pair_pb2_grpc

SERVER, PROXY, BEHIND, INTERFACES = sys.argv[1:5]
del sys.argv[1:5]
TOKEN = ("authorization", "Bearer python")
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.max_metadata_size", 65536)]


def status_module():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", "-I", INTERFACES, "--python_out", folder, "google/rpc/status.proto"], check=True)
        spec = importlib.util.spec_from_file_location(
            "rpc_status_pb2", os.path.join(folder, "google/rpc/status_pb2.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


status_pb2 = status_module()


def rich_status(error):
    """As grpc_status.rpc_status.from_call() does it: code and text must be the call's own."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert status.code == error.code().value[0], (status.code, error.code())
            assert status.message == error.details(), (status.message, error.details())
            return status
    return None


class Peer(unittest.TestCase):
    def failure(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception


class Refused(Peer):
    """A connection that is refused is a failed attempt: there is a pause before the next."""

    def test_refused(self):
        process = subprocess.Popen([SERVER, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            call = channel.unary_unary("/any.Thing/AtAll")
            error = self.failure(lambda: call(b"x", metadata=[TOKEN], timeout=60))
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(call(b"x", metadata=[TOKEN], timeout=60, wait_for_ready=True), b"x")
        process.stdin.close()
        process.stdout.close()
        self.assertEqual(process.wait(60), 0)


class Hooks(Peer):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{int(cls.process.stdout.readline())}", options=OPTIONS)
        cls.stub = pair_pb2_grpc.TestStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.process.stdin.close()
        cls.process.stdout.close()
        assert cls.process.wait(60) == 0

    def test_token_accepted(self):
        for i in range(200):
            reply = self.stub.Echo(pair_pb2.Message(number=i), metadata=(TOKEN,), timeout=60)
            self.assertEqual(reply.number, i)

    def test_token_refused(self):
        error = self.failure(lambda: self.stub.Echo(pair_pb2.Message(), timeout=60))
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.UNAUTHENTICATED, "no token"))
        self.assertIsNone(rich_status(error))
        error = self.failure(lambda: self.stub.Echo(
            pair_pb2.Message(), metadata=(("authorization", "Bearer perl"),), timeout=60))
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.PERMISSION_DENIED, "a bad token"))
        detail = pair_pb2.Message()
        self.assertTrue(rich_status(error).details[0].Unpack(detail))
        self.assertEqual(detail.text, "Bearer perl")

    def test_token_refused_before_a_large_request_is_looked_at(self):
        error = self.failure(lambda: self.stub.Echo(pair_pb2.Message(data=bytes(4_000_000)), timeout=60))
        self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
        self.test_token_accepted()

    def test_decided_by_another_thread(self):
        slowly = (TOKEN, ("slowly", "yes"))
        futures = [self.stub.Echo.future(pair_pb2.Message(number=i), metadata=slowly, timeout=120)
                   for i in range(300)]
        self.assertEqual([f.result().number for f in futures], list(range(300)))
        self.assertIn(("decided", "by another thread"), futures[0].initial_metadata())

    def test_rich_errors(self):
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            request = pair_pb2.Message(number=code.value[0], text="100 % sure: é", data=bytes(range(256)))
            error = self.failure(lambda: self.stub.Custom(request, metadata=(TOKEN,), timeout=60))
            self.assertEqual(error.code(), code)
            status = rich_status(error)
            self.assertEqual(len(status.details), 2)
            detail = pair_pb2.Message()
            self.assertTrue(status.details[0].Unpack(detail))
            self.assertEqual(detail, request)
            self.assertEqual(status.details[1].type_url, "example.com/some.Thing")
            self.assertEqual(status.details[1].value, b"\0\1\2")

    def test_any_path(self):
        for path in ("/any.Thing/AtAll", "/pair.Test/Nothing", "/a/b/c"):
            for size in (0, 1, 70000, 3_000_000):
                reply, call = self.channel.unary_unary(path).with_call(b"x" * size, timeout=120)
                self.assertEqual(reply, b"x" * size)
                self.assertIn(("path", path), call.trailing_metadata())


class Proxied(Peer):
    """grpcio on both ends, raw-proxy between them."""
    @classmethod
    def setUpClass(cls):
        cls.behind = subprocess.Popen([sys.executable, BEHIND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.target = f"127.0.0.1:{int(cls.behind.stdout.readline())}"
        cls.proxy = subprocess.Popen([PROXY, "127.0.0.1:0", cls.target], stdout=subprocess.PIPE)
        address = cls.proxy.stdout.readline().decode().split()[-1]
        cls.channel = grpc.insecure_channel(address, options=OPTIONS)
        cls.stub = pair_pb2_grpc.TestStub(cls.channel)
        cls.direct_channel = grpc.insecure_channel(cls.target)
        cls.direct = pair_pb2_grpc.TestStub(cls.direct_channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.direct_channel.close()
        cls.proxy.terminate()
        assert cls.proxy.wait(60) == 0
        cls.proxy.stdout.close()
        cls.behind.stdin.close()
        cls.behind.stdout.close()
        cls.behind.wait(60)

    def test_messages(self):
        futures = [self.stub.Echo.future(pair_pb2.Message(number=i), timeout=120) for i in range(500)]
        self.assertEqual([f.result().number for f in futures], list(range(500)))
        for size in (0, 1, 65536, 3_000_000):
            data = os.urandom(size)
            self.assertEqual(self.stub.Echo(pair_pb2.Message(data=data), timeout=120).data, data)

    def test_every_code(self):
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            error = self.failure(lambda: self.stub.Fail(
                pair_pb2.Message(number=code.value[0], text="no é"), timeout=60))
            self.assertEqual((error.code(), error.details()), (code, "no é"))
            self.assertIn(("after", "the end"), error.trailing_metadata())

    def test_metadata(self):
        sent = (("plain", "value"), ("twice", "one"), ("twice", "two"), ("bytes-bin", bytes(range(256))))
        _, call = self.stub.Metadata.with_call(pair_pb2.Message(), metadata=sent, timeout=60)
        for received in (call.initial_metadata(), call.trailing_metadata()):
            pairs = [(k, v) for k, v in received if not k.startswith("grpc-") and k != "user-agent"]
            self.assertEqual(sorted(pairs), sorted(sent))

    def test_deadline_travels(self):  # rounded up a little on each way
        left = self.stub.Slow(pair_pb2.Message(), timeout=60).number
        self.assertTrue(30000 < left <= 61500, left)

    def test_cancel_travels(self):
        before = self.direct.Custom(pair_pb2.Message()).number
        for seconds in (0.2, 1, 5):  # the server behind may not have begun it
            future = self.stub.Wait.future(pair_pb2.Message())
            threading.Timer(seconds, future.cancel).start()
            with self.assertRaises(grpc.FutureCancelledError):
                future.result()
            for _ in range(300):
                if self.direct.Custom(pair_pb2.Message()).number > before:
                    return
                time.sleep(0.01)
        self.fail("the server behind has not learned of it")

    def test_unknown_method(self):
        error = self.failure(lambda: self.channel.unary_unary("/no.Such/Method")(b"", timeout=60))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)


unittest.main()
