"""pair.Streams served by grpcio on 127.0.0.1, port 0; prints the port; ends with its standard input.

List: `number` messages, numbered, each with the request's data; then, if `text` is a number, that code.
Collect: answers with the count of messages and of their bytes; "enough" answers at once, a number fails.
Chat: each message comes back; "stop" ends it with OK, "wait" when the client has gone, a number with that code.
Each says "hello" in its head and "bye" in its trailers. Gone: how many calls have been cancelled.
"""
import os
import sys
import threading
from concurrent import futures

import grpc
from pair_pb2 import Message

CODES = {code.value[0]: code for code in grpc.StatusCode}
gone = 0
lock = threading.Lock()
CODING = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}.get(os.environ.get("FARCALL_TEST_CODING"))


def begin(context):
    def done():
        global gone
        if not context.is_active() and context.code() is None:
            with lock:
                gone += 1

    context.add_callback(done)
    context.set_trailing_metadata((("bye", "now"),))


def greet(context):
    context.send_initial_metadata((("hello", "there"),))


def fail(context, text):
    if text.isdigit():
        context.abort(CODES[int(text)], "as you said")


def wait(context):
    over = threading.Event()
    if context.add_callback(over.set):
        over.wait(20)


def list_(request, context):
    begin(context)
    if request.number == 0:
        fail(context, request.text)  # before the head: trailers only
    greet(context)
    for number in range(request.number):
        yield Message(number=number, data=request.data)
    fail(context, request.text)
    if request.text == "wait":
        wait(context)


def collect(requests, context):
    begin(context)
    greet(context)
    count, size = 0, 0
    for request in requests:
        if request.text == "enough":
            break
        if request.text == "wait":
            wait(context)
        fail(context, request.text)
        count += 1
        size += len(request.data)
    return Message(number=count, text=str(size))


def chat(requests, context):
    begin(context)
    greet(context)
    for request in requests:
        if request.text == "stop":
            return
        if request.text == "wait":
            wait(context)
        fail(context, request.text)
        yield request


def count_gone(request, context):
    with lock:
        return Message(number=gone)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), compression=CODING, options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    form = {"request_deserializer": Message.FromString, "response_serializer": Message.SerializeToString}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("pair.Streams", {
        "List": grpc.unary_stream_rpc_method_handler(list_, **form),
        "Collect": grpc.stream_unary_rpc_method_handler(collect, **form),
        "Chat": grpc.stream_stream_rpc_method_handler(chat, **form),
        "Gone": grpc.unary_unary_rpc_method_handler(count_gone, **form),
    }),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


main()
