#!/usr/bin/python3
"""One call of demo.Greeter by Python's grpcio: greeter_client.py TARGET [NAME]. Prints the reply, or the
status and exits 1. Needs demo_pb2 and demo_pb2_grpc in its path."""

import sys

import grpc

import demo_pb2
import demo_pb2_grpc


def main():
    name = sys.argv[2] if len(sys.argv) > 2 else "world"
    with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            reply = demo_pb2_grpc.GreeterStub(channel).SayHello(
                demo_pb2.HelloRequest(name=name), timeout=5)
        except grpc.RpcError as error:
            sys.exit(f"greeter_client.py: {error.code().name}: {error.details()}")
    print(reply.message)


if __name__ == "__main__":
    main()
