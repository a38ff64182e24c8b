"""grpc.testing.TestService served by grpcio: --port=N, or --address=unix:PATH. Prints where it listens, ends on SIGTERM.

grpcio does not say whether a request was compressed: with expect_compressed a call is UNIMPLEMENTED.
"""
import argparse
import signal
import time
from concurrent import futures

import grpc

import messages

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def echo_metadata(context):
    received = dict(context.invocation_metadata())
    if INITIAL in received:
        context.send_initial_metadata(((INITIAL, received[INITIAL]),))
    if TRAILING in received:
        context.set_trailing_metadata(((TRAILING, received[TRAILING]),))


def echo_status(request, context):
    if request.HasField("response_status") and request.response_status.code != 0:
        code = next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code)
        context.abort(code, request.response_status.message)


def judge(request, context):
    if request.HasField("expect_compressed"):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "grpcio does not tell what was compressed")


def payload(size):
    return messages.Payload(body=bytes(size))


def empty_call(_, context):
    echo_metadata(context)
    return messages.Empty()


def unary_call(request, context):
    judge(request, context)
    if request.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    echo_status(request, context)
    return messages.SimpleResponse(payload=payload(request.response_size))


def cacheable_unary_call(_, context):
    context.send_initial_metadata((("cache-control", "max-age=60, public"),))
    return messages.SimpleResponse(payload=messages.Payload(body=str(time.time_ns()).encode()))


def responses(request, context):
    for wanted in request.response_parameters:
        time.sleep(wanted.interval_us / 1e6)
        if wanted.HasField("compressed") and not wanted.compressed.value:
            context.disable_next_message_compression()
        yield messages.StreamingOutputCallResponse(payload=payload(wanted.size))
    echo_status(request, context)


def streaming_output_call(request, context):
    if any(wanted.compressed.value for wanted in request.response_parameters):
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    yield from responses(request, context)


def streaming_input_call(requests, context):
    size = 0
    for request in requests:
        judge(request, context)
        size += len(request.payload.body)
    return messages.StreamingInputCallResponse(aggregated_payload_size=size)


def full_duplex_call(requests, context):
    echo_metadata(context)
    for request in requests:
        yield from responses(request, context)


def half_duplex_call(requests, context):
    for request in list(requests):
        yield from responses(request, context)


def handler(method, function):
    request, _ = messages.classes(method)
    kind = "_".join("stream" if is_stream else "unary" for is_stream in messages.METHODS[method][2:])
    return getattr(grpc, f"{kind}_rpc_method_handler")(
        function, request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString())


FUNCTIONS = {
    "EmptyCall": empty_call,
    "UnaryCall": unary_call,
    "CacheableUnaryCall": cacheable_unary_call,
    "StreamingOutputCall": streaming_output_call,
    "StreamingInputCall": streaming_input_call,
    "FullDuplexCall": full_duplex_call,
    "HalfDuplexCall": half_duplex_call,
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--address")
    arguments = arguments.parse_args()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "grpc.testing.TestService", {m: handler(m, f) for m, f in FUNCTIONS.items()}),))
    if arguments.address:
        server.add_insecure_port(arguments.address)
        name = arguments.address
    else:
        name = "ipv4:127.0.0.1:%d" % server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    print("listens on", name, flush=True)
    server.wait_for_termination()


main()
