"""grpcio's client against pair-server (argument 1) with one thread for handlers that block, and two calls that may
wait for it: one more is refused, the server's log says why, and the others are served."""
import subprocess
import sys
import unittest

import grpc
import pair_pb2
import pair_pb2_grpc

PROGRAM = sys.argv.pop(1)
CALLS = 12


class Queue(unittest.TestCase):
    def test_a_full_queue(self):
        with subprocess.Popen([PROGRAM, "threads", "3", "queue", "2"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
                stub = pair_pb2_grpc.TestStub(channel)
                stub.Echo(pair_pb2.Message(text="connected"), timeout=120)
                futures = [stub.Slow.future(pair_pb2.Message(number=1500), timeout=120)
                           for _ in range(CALLS)]
                # Those that are refused hold nothing up: the server answers others at once.
                self.assertEqual(stub.Echo(pair_pb2.Message(text="quick"), timeout=120).text, "quick")
                refused = [f for f in futures if f.exception() is not None]
                self.assertTrue(0 < len(refused) <= CALLS - 2, len(refused))
                for future in refused:
                    self.assertEqual(future.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                    self.assertEqual(future.details(), "too many calls wait for handlers that block")
                self.assertEqual(stub.Slow(pair_pb2.Message(number=1), timeout=120).text, "")
            process.stdin.close()
            log = process.stderr.read()
            # Once a minute, by what comes first.
            self.assertRegex(log, r"/pair\.Test/\w+ has (waited|taken) .*\(farcall_server_set_handler_threads\)")
            self.assertEqual(process.wait(60), 0)


if __name__ == "__main__":
    unittest.main()
