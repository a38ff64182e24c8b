#!/usr/bin/python3
"""demo.Greeter in Python's grpcio: greeter_server.py [PORT]. Port 0, the default, takes any; the port
that was bound is printed. Ends on SIGTERM. Needs demo_pb2 and demo_pb2_grpc in its path."""

import concurrent.futures
import signal
import sys
import threading

import grpc

import demo_pb2
import demo_pb2_grpc


class Greeter(demo_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        return demo_pb2.HelloReply(message=f"Hello, {request.name}!")


def main():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
    demo_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 0}")
    if port == 0:
        sys.exit("greeter_server.py: the port is taken")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server.start()
    print(port, flush=True)
    ended.wait()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
