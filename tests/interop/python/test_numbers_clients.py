"""The examples numbers-client and numbers-async against grpcio's server, and against our own examples of servers:
test_numbers_clients.py CLIENT ASYNC SERVER..."""
import signal
import subprocess
import sys
import unittest
from concurrent import futures

import grpc
import demo_pb2
import demo_pb2_grpc

CLIENT, ASYNC, *SERVERS = sys.argv[1:]
N = 3000
SUM = N * (N + 1) // 2
Number = demo_pb2.Number


class Numbers(demo_pb2_grpc.NumbersServicer):
    def Square(self, request, context):
        return Number(value=request.value ** 2)

    def Count(self, request, context):
        return (Number(value=i) for i in range(1, request.value + 1))

    def Sum(self, requests, context):
        return Number(value=sum(r.value for r in requests))

    def RunningSum(self, requests, context):
        so_far = 0
        for request in requests:
            so_far += request.value
            yield Number(value=so_far)


class Clients(unittest.TestCase):
    def check(self, target):
        out = subprocess.run([CLIENT, target, str(N)], stdout=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(out.stdout, f"square: {N * N}\ncount: {N} replies, the last one is {N}\n"
                         f"sum: {SUM}\nrunning sum: {SUM}\n")
        self.assertEqual(out.returncode, 0)
        out = subprocess.run([ASYNC, target, str(N)], stdout=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(out.stdout, f"running sum: {N} replies, the last one is {SUM}\n")
        self.assertEqual(out.returncode, 0)

    def test_grpcio(self):
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        demo_pb2_grpc.add_NumbersServicer_to_server(Numbers(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        self.check(f"127.0.0.1:{port}")

    def test_our_servers(self):
        for program in SERVERS:
            with self.subTest(program):
                server = subprocess.Popen([program, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
                self.addCleanup(server.stdout.close)
                self.addCleanup(server.kill)
                self.check(server.stdout.readline().strip().removeprefix("listening on "))
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(60), 0)

    def test_nobody_is_there(self):
        for client in (CLIENT, ASYNC):
            out = subprocess.run([client, "unix:/nowhere/at/all", "3"], stderr=subprocess.PIPE, text=True, timeout=120)
            self.assertIn("UNAVAILABLE: connect unix:/nowhere/at/all", out.stderr)
            self.assertEqual(out.returncode, 1)


unittest.main(argv=sys.argv[:1])
