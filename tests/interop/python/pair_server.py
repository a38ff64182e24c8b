"""pair.Test served by grpcio on 127.0.0.1, port 0; prints the port; ends with its standard input.

Arguments: channel arguments of gRPC, name=number; gzip or deflate: its answers are compressed so."""
import sys
import threading
from concurrent import futures

import grpc
import pair_pb2
import pair_pb2_grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Test(pair_pb2_grpc.TestServicer):
    def __init__(self):
        self.cancelled = 0
        self.lock = threading.Lock()

    def Echo(self, request, context):
        return request

    def Fail(self, request, context):
        context.set_trailing_metadata((("after", "the end"),))
        context.abort(CODES[request.number], request.text)

    def Wait(self, request, context):
        gone = threading.Event()

        def done():
            with self.lock:
                self.cancelled += 1
            gone.set()

        context.add_callback(done)
        gone.wait(20)
        return request

    def Metadata(self, request, context):
        pairs = [(k, v) for k, v in context.invocation_metadata() if k != "user-agent"]
        context.send_initial_metadata(pairs)
        context.set_trailing_metadata(pairs)
        return request

    def Grow(self, request, context):
        return pair_pb2.Message(data=bytes(request.number))

    def Slow(self, request, context):
        return pair_pb2.Message(number=int((context.time_remaining() or 0) * 1000))

    def Custom(self, request, context):
        with self.lock:
            return pair_pb2.Message(number=self.cancelled)


def main():
    compression = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}.get(sys.argv[-1])
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), compression=compression, options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 65536)] + [
        (name, int(value)) for name, value in (word.split("=") for word in sys.argv[1:] if "=" in word)])
    pair_pb2_grpc.add_TestServicer_to_server(Test(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


main()
