"""grpcio's client against pair-server (argument 1): echo, every code, deadline, cancel, metadata, sizes."""
import subprocess
import sys
import threading
import time
import unittest

import grpc
import pair_pb2
import pair_pb2_grpc

PROGRAM = sys.argv.pop(1)
MIB = 1 << 20


class OurServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        port = int(cls.process.stdout.readline())
        cls.target = f"127.0.0.1:{port}"
        cls.channel = grpc.insecure_channel(cls.target, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 65536)])
        cls.stub = pair_pb2_grpc.TestStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.process.stdin.close()
        cls.process.stdout.close()
        assert cls.process.wait(60) == 0

    def code_of(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception.code(), caught.exception.details()

    def test_echo(self):
        for i in range(500):
            reply = self.stub.Echo(pair_pb2.Message(text=f"número {i}", number=i), timeout=60)
            self.assertEqual((reply.text, reply.number), (f"número {i}", i))

    def test_echo_many_at_once(self):
        futures = [self.stub.Echo.future(pair_pb2.Message(number=i), timeout=120) for i in range(2000)]
        self.assertEqual([f.result().number for f in futures], list(range(2000)))

    def test_every_code(self):
        text = "100 % sure: é\n\"quoted\""
        for code in grpc.StatusCode:
            number = code.value[0]
            if number == 0:
                self.stub.Fail(pair_pb2.Message(number=0, text=text), timeout=60)
                continue
            got = self.code_of(lambda: self.stub.Fail(
                pair_pb2.Message(number=number, text=text), timeout=60))
            self.assertEqual(got, (code, text))

    def test_deadline(self):
        def wait(seconds):
            begin = time.monotonic()
            code, _ = self.code_of(lambda: self.stub.Wait(pair_pb2.Message(), timeout=seconds))
            self.assertEqual(code, grpc.StatusCode.DEADLINE_EXCEEDED)
            self.assertLess(time.monotonic() - begin, seconds + 20)

        self.until_a_handler_learns(wait, 0.2)

    def until_a_handler_learns(self, end_after, seconds):
        """One may be over before the server has begun it: then it is tried again, with more time."""
        before = self.stub.Custom(pair_pb2.Message()).number
        for _ in range(4):
            end_after(seconds)
            for _ in range(200):
                if self.stub.Custom(pair_pb2.Message()).number > before:
                    return
                time.sleep(0.01)
            seconds *= 4
        self.fail("the handler has not learned of it")

    def test_cancel(self):
        def cancel(seconds):
            future = self.stub.Wait.future(pair_pb2.Message())
            threading.Timer(seconds, future.cancel).start()
            with self.assertRaises(grpc.FutureCancelledError):
                future.result()

        self.until_a_handler_learns(cancel, 0.05)

    def test_metadata(self):
        sent = (("plain", "value"), ("twice", "one"), ("twice", "two"), ("empty", ""),
                ("large", "x" * 7000), ("bytes-bin", bytes(range(256))), ("none-bin", b""))
        _, call = self.stub.Metadata.with_call(pair_pb2.Message(), metadata=sent, timeout=60)
        for received in (call.initial_metadata(), call.trailing_metadata()):
            pairs = [(k, v) for k, v in received if not k.startswith("grpc-")]
            self.assertEqual(sorted(pairs), sorted(sent))
            self.assertEqual([v for k, v in pairs if k == "twice"], ["one", "two"])

    def test_too_much_metadata(self):
        code, _ = self.code_of(lambda: self.stub.Echo(
            pair_pb2.Message(), metadata=(("large", "x" * 20000),), timeout=60))
        self.assertEqual(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.test_echo()

    def test_answers_that_the_client_does_not_take(self):
        with grpc.insecure_channel(self.target, options=[
                ("grpc.max_metadata_size", 1000),
                ("grpc.absolute_max_metadata_size", 1000)]) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            pending = stub.Wait.future(pair_pb2.Message(), timeout=120)
            stub.Metadata(pair_pb2.Message(), metadata=(("large", "x" * 800),), timeout=60)
            for size in (1000, 7000):
                code, details = self.code_of(lambda: stub.Metadata(
                    pair_pb2.Message(), metadata=(("large", "x" * size),), timeout=60))
                self.assertEqual(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
                self.assertIn("response metadata: a header list of", details)
                self.assertIn("the peer takes at most 1000", details)
            self.assertFalse(pending.done())
            pending.cancel()

    def test_sizes(self):
        for size in (0, 1, 100, 16 * 1024, 65535, 65536, 100000, MIB, 4 * MIB - 5):
            data = bytes(i & 255 for i in range(251)) * (size // 251 + 1)
            reply = self.stub.Echo(pair_pb2.Message(data=data[:size]), timeout=120)
            self.assertEqual(reply.data, data[:size])

    def test_over_the_limit(self):
        code, details = self.code_of(lambda: self.stub.Echo(
            pair_pb2.Message(data=bytes(4 * MIB)), timeout=120))
        self.assertEqual(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn(str(4 * MIB), details)
        self.test_echo()

    def test_large_reply(self):
        reply = self.stub.Grow(pair_pb2.Message(number=8 * MIB), timeout=120)
        self.assertEqual(reply.data, bytes(8 * MIB))

    def test_bad_utf8(self):
        call = self.channel.unary_unary("/pair.Test/Echo")
        code, details = self.code_of(lambda: call(b"\x0a\x02\xc0\x80", timeout=60))
        self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("pair.Message.text", details)

    def test_not_there(self):
        call = self.channel.unary_unary("/pair.Test/Nothing")
        self.assertEqual(self.code_of(lambda: call(b"", timeout=60))[0],
                         grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.code_of(lambda: self.stub.Missing(pair_pb2.Message(), timeout=60))[0],
                         grpc.StatusCode.UNIMPLEMENTED)


unittest.main()
