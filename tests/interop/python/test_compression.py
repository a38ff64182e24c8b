"""grpcio's client with compression against pair-server (argument 1), with what went over the wire counted."""
import subprocess
import socket
import sys
import threading
import unittest

import grpc
import pair_pb2
import pair_pb2_grpc

SERVER = sys.argv.pop(1)
MIB = 1 << 20
IDENTITY, GZIP, DEFLATE = 1, 2, 4


class Proxy:
    """Passes bytes on to a port, and counts them each way."""

    def __init__(self, port):
        self.port = port
        self.sent = self.received = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self.carry, args=(near, far, "sent"), daemon=True).start()
            threading.Thread(target=self.carry, args=(far, near, "received"), daemon=True).start()

    def carry(self, source, to, name):
        try:
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + len(data))
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self):
        counts = self.sent, self.received
        self.sent = self.received = 0
        return counts


class Compression(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.proxy = Proxy(int(cls.process.stdout.readline()))

    @classmethod
    def tearDownClass(cls):
        cls.proxy.listener.close()
        cls.process.stdin.close()
        cls.process.stdout.close()
        assert cls.process.wait(60) == 0

    def ask(self, compression, coding, data, options=()):
        """A fresh connection's Custom; answers the reply and the bytes each way."""
        self.proxy.take()
        with grpc.insecure_channel(self.proxy.address, compression=compression, options=[
                ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", 64 * MIB), *options]) as channel:
            reply = pair_pb2_grpc.TestStub(channel).Custom(
                pair_pb2.Message(number=coding, data=data), timeout=120)
        return reply, *self.proxy.take()

    def test_each_coding_each_way(self):
        data = b"farcall and grpcio " * 50000
        for compression, request in ((None, False), (grpc.Compression.NoCompression, False),
                                     (grpc.Compression.Gzip, True), (grpc.Compression.Deflate, True)):
            for coding, answer in ((IDENTITY, False), (GZIP, True), (DEFLATE, True)):
                reply, sent, received = self.ask(compression, coding, data)
                self.assertEqual(reply.data, data)
                self.assertEqual(reply.text, "compressed" if request else "plain")
                self.assertEqual(sent < 50000, request, (compression, coding, sent))
                self.assertEqual(received < 50000, answer, (compression, coding, received))

    def test_many_calls(self):
        with grpc.insecure_channel(self.proxy.address, compression=grpc.Compression.Gzip) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            futures = [stub.Custom.future(pair_pb2.Message(number=GZIP, data=b"%d " % i * i), timeout=120)
                       for i in range(1, 1000)]
            for i, future in enumerate(futures, 1):
                self.assertEqual(future.result().data, b"%d " % i * i)

    def test_each_call_for_itself(self):
        with grpc.insecure_channel(self.proxy.address) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            request = pair_pb2.Message(number=IDENTITY, data=bytes(10000))
            for compression, text in ((grpc.Compression.Gzip, "compressed"), (None, "plain"),
                                      (grpc.Compression.Deflate, "compressed"),
                                      (grpc.Compression.NoCompression, "plain")):
                self.assertEqual(stub.Custom(request, compression=compression, timeout=120).text, text)

    def test_a_client_that_takes_gzip_alone(self):
        only = (("grpc.compression_enabled_algorithms_bitset", 1 | 1 << 2),)
        for coding, compressed in ((GZIP, True), (DEFLATE, False)):
            reply, _, received = self.ask(None, coding, bytes(MIB), only)
            self.assertEqual(reply.data, bytes(MIB))
            self.assertEqual(received < 50000, compressed)

    def test_bombs(self):
        """Four MiB are taken, a byte more is not; what it inflates to never matters beyond."""
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with self.assertRaises(grpc.RpcError) as caught:
                self.ask(compression, IDENTITY, bytes(100 * MIB))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertEqual(caught.exception.details(),
                             "a compressed message inflates to more than 4194304 bytes")
            reply, _, _ = self.ask(compression, GZIP, bytes(4 * MIB - 7))
            self.assertEqual(len(reply.data), 4 * MIB - 7)
            with self.assertRaises(grpc.RpcError) as caught:
                self.ask(compression, IDENTITY, bytes(4 * MIB - 6))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)


unittest.main()
