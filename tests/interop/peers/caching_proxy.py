"""A proxy of unary calls on grpcio that keeps what a response's cache-control allows: --backend=ADDRESS.

The same path and the same bytes are answered alike as long as max-age says. Prints where it listens, ends on SIGTERM.
"""
import argparse
import re
import signal
import time
from concurrent import futures

import grpc


class Proxy(grpc.GenericRpcHandler):
    def __init__(self, channel):
        self.channel = channel
        self.kept = {}  # (path, request): (until, response, initial metadata)

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.answer(details.method, request, context))

    def ask(self, path, request, context):
        metadata = [(k, v) for k, v in context.invocation_metadata() if k != "user-agent"]
        response, call = self.channel.unary_unary(path).with_call(request, metadata=metadata)
        initial = tuple(call.initial_metadata())
        age = re.search(r"max-age=(\d+)", dict(initial).get("cache-control", ""))
        if age:
            self.kept[path, request] = (time.monotonic() + int(age.group(1)), response, initial)
        return response, initial

    def answer(self, path, request, context):
        until, response, initial = self.kept.get((path, request), (0, None, ()))
        try:
            if until <= time.monotonic():
                response, initial = self.ask(path, request, context)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        context.send_initial_metadata(initial)
        return response


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--backend", required=True)
    arguments = arguments.parse_args()
    with grpc.insecure_channel(arguments.backend) as channel:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        server.add_generic_rpc_handlers((Proxy(channel),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
        print(f"listens on ipv4:127.0.0.1:{port}", flush=True)
        server.wait_for_termination()


main()
