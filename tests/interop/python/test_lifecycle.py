"""grpcio's client against pair-server (argument 1): pings, keepalive, the age and idleness of connections."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
import pair_pb2
import pair_pb2_grpc

PROGRAM = sys.argv[1]
EAGER = [("grpc.keepalive_time_ms", 300), ("grpc.keepalive_timeout_ms", 20000),
         ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
         ("grpc.http2.min_time_between_pings_ms", 300)]


class Server:
    """pair-server, with settings of connections' lives in milliseconds."""

    def __init__(self, **settings):
        words = [str(w) for name, ms in settings.items() for w in (name.replace("_", "-"), ms)]
        self.process = subprocess.Popen([PROGRAM, *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.target = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


class Stderr:
    """What grpcio logs, which its exceptions do not say."""

    def __enter__(self):
        self.file, self.before = tempfile.TemporaryFile(), os.dup(2)
        os.dup2(self.file.fileno(), 2)
        return self

    def __exit__(self, *_):
        os.dup2(self.before, 2)
        os.close(self.before)
        self.file.close()

    def text(self):
        self.file.seek(0)
        return self.file.read().decode()


class States:
    """What a channel's state was, one after the other."""

    def __init__(self, channel):
        self.seen = []
        self.changed = threading.Condition()
        channel.subscribe(self.note)

    def note(self, state):
        with self.changed:
            self.seen.append(state)
            self.changed.notify_all()

    def count(self, state):
        with self.changed:
            return self.seen.count(state)

    def wait(self, state, times, seconds=60):
        """Until it was in that state so many times."""
        with self.changed:
            return self.changed.wait_for(lambda: self.seen.count(state) >= times, seconds)


class Lifecycle(unittest.TestCase):
    def test_too_many_pings(self):
        with Server() as server, Stderr() as stderr, \
                grpc.insecure_channel(server.target, options=EAGER) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            begin = time.monotonic()
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Wait(pair_pb2.Message(), timeout=20)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertIn("Received a GOAWAY with error code ENHANCE_YOUR_CALM and debug data equal to "
                          "\"too_many_pings\"", stderr.text())
            passed = time.monotonic() - begin  # the first is free, two strikes, the fourth is one too many
            self.assertGreater(passed, 1.1)
            self.assertLess(passed, 15)

    def test_pings_that_are_permitted(self):
        with Server(ping_interval=0) as server, \
                grpc.insecure_channel(server.target, options=EAGER) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Wait(pair_pb2.Message(), timeout=2)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            stub.Echo(pair_pb2.Message(), timeout=60)

    def test_age_loses_no_call(self):
        with Server(age=1000, grace=5000) as server, grpc.insecure_channel(server.target) as channel:
            stub, states = pair_pb2_grpc.TestStub(channel), States(channel)
            begin, n = time.monotonic(), 0
            while time.monotonic() - begin < 3 or (
                    states.count(grpc.ChannelConnectivity.READY) < 3 and time.monotonic() - begin < 30):
                futures = [stub.Echo.future(pair_pb2.Message(number=i), timeout=60) for i in range(8)]
                self.assertEqual([f.result().number for f in futures], list(range(8)))
                n += 8
            self.assertGreaterEqual(states.count(grpc.ChannelConnectivity.READY), 3)
            print(f"{n} calls over {states.count(grpc.ChannelConnectivity.READY)} connections")

    def test_grace(self):
        with Server(age=1000, grace=500) as server, grpc.insecure_channel(server.target) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            begin = time.monotonic()
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Wait(pair_pb2.Message(), timeout=20)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertIn("greatest age", caught.exception.details())
            self.assertGreater(time.monotonic() - begin, 1.3)
            self.assertLess(time.monotonic() - begin, 15)

    def test_idle(self):
        with Server(idle=1000) as server, grpc.insecure_channel(server.target) as channel:
            stub, states = pair_pb2_grpc.TestStub(channel), States(channel)
            self.assertTrue(states.wait(grpc.ChannelConnectivity.IDLE, 1))  # as it was at first
            for i in range(1, 3):
                stub.Echo(pair_pb2.Message(), timeout=60)
                self.assertTrue(states.wait(grpc.ChannelConnectivity.READY, i))
                self.assertTrue(states.wait(grpc.ChannelConnectivity.IDLE, i + 1))

    def test_clients_that_are_alive_answer(self):
        with Server(keepalive=1000, keepalive_timeout=3000) as server, \
                grpc.insecure_channel(server.target) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Wait(pair_pb2.Message(), timeout=6)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_client_that_is_dead_is_found(self):
        """Its system still acknowledges, the program itself is stopped."""
        with Server(keepalive=1000, keepalive_timeout=1000) as server, \
                grpc.insecure_channel(server.target) as channel:
            stub = pair_pb2_grpc.TestStub(channel)
            client = subprocess.Popen([sys.executable, __file__, PROGRAM, server.target],
                                      stdout=subprocess.PIPE)
            self.assertEqual(client.stdout.readline(), b"calling\n")
            begin = time.monotonic()
            os.kill(client.pid, signal.SIGSTOP)
            while stub.Custom(pair_pb2.Message()).number == 0 and time.monotonic() - begin < 40:
                time.sleep(0.01)
            self.assertLess(time.monotonic() - begin, 30)
            client.kill()
            client.wait()
            client.stdout.close()


def call_and_wait(target):
    """What is stopped above: a call that its server has begun."""
    with grpc.insecure_channel(target) as channel:
        stub = pair_pb2_grpc.TestStub(channel)
        stub.Echo(pair_pb2.Message(), timeout=60)
        future = stub.Wait.future(pair_pb2.Message())
        stub.Echo(pair_pb2.Message(), timeout=60)
        print("calling", flush=True)
        future.result()


if len(sys.argv) > 2:
    call_and_wait(sys.argv[2])
else:
    del sys.argv[1]
    unittest.main()
