"""grpcio's client against the programs given, the examples numbers-server and numbers-loop: a method of each
shape, 3,000 numbers; and their end by a signal."""
import signal
import subprocess
import sys
import unittest

import grpc
import demo_pb2
import demo_pb2_grpc

PROGRAMS = sys.argv[1:]
N = 3000
Number = demo_pb2.Number


def numbers():
    return (Number(value=i) for i in range(1, N + 1))


class Numbers(unittest.TestCase):
    def check(self, program):
        server = subprocess.Popen([program, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.kill)
        target = server.stdout.readline().strip().removeprefix("listening on ")
        with grpc.insecure_channel(target) as channel:
            stub = demo_pb2_grpc.NumbersStub(channel)
            self.assertEqual(stub.Square(Number(value=-12), timeout=60).value, 144)
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Square(Number(value=1 << 40), timeout=60)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.OUT_OF_RANGE)
            got = [m.value for m in stub.Count(Number(value=N), timeout=120)]
            self.assertEqual(got, list(range(1, N + 1)))
            self.assertEqual(stub.Sum(numbers(), timeout=120).value, N * (N + 1) // 2)
            got = [m.value for m in stub.RunningSum(numbers(), timeout=120)]
            self.assertEqual(got, [i * (i + 1) // 2 for i in range(1, N + 1)])
            # One that goes away in the middle.
            call = stub.Count(Number(value=1 << 60))
            for _ in range(10):
                next(call)
            call.cancel()
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(60), 0)

    def test_programs(self):
        for program in PROGRAMS:
            with self.subTest(program):
                self.check(program)


unittest.main(argv=sys.argv[:1])
