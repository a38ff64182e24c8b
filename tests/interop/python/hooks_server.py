"""pair.Test by grpcio with an interceptor that wants a token; prints the port; ends with its standard input.

Fail answers with code `number` and a google.rpc.Status in the trailers: `data` if there is any, else one made of the
request itself. The generated module of google.rpc.Status comes from the folder of interfaces (argument 1)."""
import importlib.util
import os
import subprocess
import sys
import tempfile
from concurrent import futures

import grpc
import pair_pb2
import pair_pb2_grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


def status_module(interfaces):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", "-I", interfaces, "--python_out", folder, "google/rpc/status.proto"], check=True)
        spec = importlib.util.spec_from_file_location(
            "rpc_status_pb2", os.path.join(folder, "google/rpc/status_pb2.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


class Token(grpc.ServerInterceptor):
    def intercept_service(self, continuation, details):
        if ("authorization", "Bearer farcall") in details.invocation_metadata:
            return continuation(details)

        def refuse(request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")

        return grpc.unary_unary_rpc_method_handler(refuse)


class Test(pair_pb2_grpc.TestServicer):
    def __init__(self, status_pb2):
        self.status_pb2 = status_pb2

    def Echo(self, request, context):
        return request

    def Fail(self, request, context):
        status = self.status_pb2.Status(code=request.number, message=request.text)
        status.details.add().Pack(pair_pb2.Message(number=7))
        status.details.add().Pack(request)
        context.set_trailing_metadata((
            ("grpc-status-details-bin", request.data or status.SerializeToString()),))
        context.abort(CODES[request.number], request.text)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), interceptors=[Token()])
    pair_pb2_grpc.add_TestServicer_to_server(Test(status_module(sys.argv[1])), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


main()
