"""grpcio's client of the interop cases: --target=ADDRESS --test_case=CASE. Exits with 0 if it passed.

grpcio does not say whether a response was compressed: the cases of server_compressed only see that it is read.
"""
import argparse
import threading
import time

import grpc

import messages

REQUESTS, RESPONSES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
LARGE = {"response_size": 314159}
METADATA = (("x-grpc-test-echo-initial", "test_initial_metadata_value"),
            ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"))
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
GZIP = grpc.Compression.Gzip


class Stub:
    """stub.UnaryCall and so on, each a grpcio multi-callable."""

    def __init__(self, channel):
        for method, (_, _, *streams) in messages.METHODS.items():
            kind = "_".join("stream" if is_stream else "unary" for is_stream in streams)
            setattr(self, method, getattr(channel, kind)(
                messages.SERVICE + method, request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=messages.classes(method)[1].FromString))
        empty = messages.Empty.SerializeToString
        self.UnimplementedCall = channel.unary_unary(messages.SERVICE + "UnimplementedCall", empty)
        self.UnimplementedService = channel.unary_unary(
            "/grpc.testing.UnimplementedService/UnimplementedCall", empty)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def expect(code, call):
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() == code, f"{error.code()} is not {code}: {error.details()}")
        return error
    except grpc.FutureCancelledError:
        check(code == grpc.StatusCode.CANCELLED, f"cancelled, not {code}")
        return None
    raise AssertionError(f"OK, not {code}")


def payload(size):
    return messages.Payload(body=bytes(size))


def large(**fields):
    return messages.SimpleRequest(payload=payload(271828), **LARGE, **fields)


def check_large(response):
    check(response.payload.body == bytes(314159), "the response is not 314159 zeros")


def output(sizes, size=None, **fields):
    request = messages.StreamingOutputCallRequest(**fields)
    for wanted in sizes:
        request.response_parameters.add(size=wanted)
    if size is not None:
        request.payload.body = bytes(size)
    return request


def check_sizes(call, sizes):
    check([len(r.payload.body) for r in call] == list(sizes), f"not responses of {sizes}")


def flag(value):
    return messages.BoolValue(value=value)


def empty_unary(stub):
    check(stub.EmptyCall(messages.Empty()) == messages.Empty(), "not empty")


def large_unary(stub):
    check_large(stub.UnaryCall(large()))


def client_compressed_unary(stub):
    expect(grpc.StatusCode.INVALID_ARGUMENT,
           lambda: stub.UnaryCall(large(expect_compressed=flag(True))))
    check_large(stub.UnaryCall(large(expect_compressed=flag(True)), compression=GZIP))
    check_large(stub.UnaryCall(large(expect_compressed=flag(False))))


def server_compressed_unary(stub):
    for compressed in (True, False):
        check_large(stub.UnaryCall(large(response_compressed=flag(compressed))))


def client_streaming(stub):
    response = stub.StreamingInputCall(
        messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUESTS)
    check(response.aggregated_payload_size == 74922, "not 74922 bytes")


def client_compressed_streaming(stub):
    def request(size):
        return messages.StreamingInputCallRequest(payload=payload(size), expect_compressed=flag(True))

    expect(grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.StreamingInputCall(iter([request(27182)])))
    # All of a stream's messages, or none: grpcio's client cannot choose one by one.
    response = stub.StreamingInputCall(iter([request(27182), request(45904)]), compression=GZIP)
    check(response.aggregated_payload_size == 73086, "not 73086 bytes")


def server_streaming(stub):
    check_sizes(stub.StreamingOutputCall(output(RESPONSES)), RESPONSES)


def server_compressed_streaming(stub):
    request = output((31415, 92653))
    request.response_parameters[0].compressed.value = True
    request.response_parameters[1].compressed.value = False
    check_sizes(stub.StreamingOutputCall(request), (31415, 92653))


def half_duplex(stub):
    check_sizes(stub.HalfDuplexCall(output((size,)) for size in RESPONSES), RESPONSES)


def ping_pong(stub):
    answered = []

    def requests():
        for i, size in enumerate(REQUESTS):
            check(len(answered) == i, "a request was sent before the last one was answered")
            yield output((RESPONSES[i],), size)
            while len(answered) == i:
                time.sleep(0.001)

    call = stub.FullDuplexCall(requests())
    for response in call:
        answered.append(len(response.payload.body))
    check(tuple(answered) == RESPONSES, f"not responses of {RESPONSES}")


def empty_stream(stub):
    check_sizes(stub.FullDuplexCall(iter(())), ())


def custom_metadata(stub):
    response, call = stub.UnaryCall.with_call(large(), metadata=METADATA)
    check_large(response)
    stream = stub.FullDuplexCall(iter([output((314159,), 271828)]), metadata=METADATA)
    check_sizes(stream, (314159,))
    for c in (call, stream):
        check(METADATA[0] in tuple(c.initial_metadata()), "initial metadata")
        check(METADATA[1] in tuple(c.trailing_metadata()), "trailing metadata")


def status_code_and_message(stub):
    status = messages.EchoStatus(code=2, message="test status message")
    for call in (lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status)),
                 lambda: list(stub.FullDuplexCall(iter([output((), response_status=status)])))):
        error = expect(grpc.StatusCode.UNKNOWN, call)
        check(error.details() == "test status message", error.details())


def special_status_message(stub):
    status = messages.EchoStatus(code=2, message=SPECIAL)
    error = expect(grpc.StatusCode.UNKNOWN,
                   lambda: stub.UnaryCall(messages.SimpleRequest(response_status=status)))
    check(error.details() == SPECIAL, repr(error.details()))


def unimplemented_method(stub):
    expect(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.UnimplementedCall(messages.Empty()))


def unimplemented_service(stub):
    expect(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.UnimplementedService(messages.Empty()))


def cancel_after_begin(stub):
    over = threading.Event()

    def silence():  # else the server might be quicker with its answer
        over.wait(60)
        yield from ()

    future = stub.StreamingInputCall.future(silence())
    future.cancel()
    check(future.cancelled(), "not cancelled")
    expect(grpc.StatusCode.CANCELLED, future.result)
    over.set()


def cancel_after_first_response(stub):
    def requests():
        yield output((31415,), 27182)
        while call.is_active():
            time.sleep(0.001)

    call = stub.FullDuplexCall(requests())
    check(len(next(call).payload.body) == 31415, "not 31415 bytes")
    call.cancel()
    expect(grpc.StatusCode.CANCELLED, lambda: next(call))


def timeout_on_sleeping_server(stub):
    def requests():
        yield output((), 27182)
        time.sleep(0.1)

    expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(stub.FullDuplexCall(requests(), timeout=0.001)))


def concurrent_large_unary(stub):
    for future in [stub.UnaryCall.future(large()) for _ in range(1000)]:
        check_large(future.result())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--target", required=True)
    arguments.add_argument("--test_case", required=True)
    arguments = arguments.parse_args()
    with grpc.insecure_channel(arguments.target) as channel:
        grpc.channel_ready_future(channel).result(10)
        globals()[arguments.test_case](Stub(channel))


main()
