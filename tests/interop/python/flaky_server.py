"""Three servers of pair.Test by grpcio that fail as they are told; prints their ports; ends with
its standard input. What a call is told by goes by its text, so that attempts are counted by call."""
import sys
import threading
from concurrent import futures

import grpc
import pair_pb2
import pair_pb2_grpc

lock = threading.Condition()
seen = {}  # text: what came as grpc-previous-rpc-attempts, one for each attempt
cancelled = [0]


def number_of(context):
    """What the client numbers its attempts by."""
    return dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", "-")


def note(request, context):
    """How many attempts came before."""
    with lock:
        seen.setdefault(request.text, []).append(number_of(context))
        lock.notify_all()
        return len(seen[request.text]) - 1


def attempts(text):
    """As they were numbered: those of a hedged call may arrive in any order."""
    return " ".join(sorted(seen[text]))


class Test(pair_pb2_grpc.TestServicer):
    def __init__(self, index):
        self.index = index

    def Echo(self, request, context):
        """Fails `number` times, then answers with what it has seen of the call."""
        if note(request, context) < request.number:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return pair_pb2.Message(text=attempts(request.text), number=self.index)

    def Fail(self, request, context):
        """Fails once, and says when to come again: `data`; then answers."""
        if note(request, context) == 0:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", request.data.decode()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return pair_pb2.Message(text=" ".join(seen[request.text]))

    def Grow(self, request, context):
        """Sends its head before it fails: that is the end of it."""
        note(request, context)
        context.send_initial_metadata((("x", "y"),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "after the head")

    def Chat(self, requests, context):
        """Fails when it has had all of its first `number` streams; then echoes."""
        requests = list(requests)
        if note(requests[0], context) < requests[0].number:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        yield from requests
        yield pair_pb2.Message(text=" ".join(seen[requests[0].text]))

    def Wait(self, request, context):
        """Number `number` answers, once all have come; the others wait until they are cancelled."""
        note(request, context)
        if number_of(context) == str(request.number):
            with lock:
                lock.wait_for(lambda: len(seen[request.text]) > request.number, 20)
        else:
            gone = threading.Event()
            context.add_callback(gone.set)
            if gone.wait(20):
                with lock:
                    cancelled[0] += 1
        return pair_pb2.Message(text=attempts(request.text))

    def Custom(self, request, context):
        with lock:
            return pair_pb2.Message(number=cancelled[0], text=" ".join(seen.get(request.text, [])))


def main():
    servers = []
    for index in range(3):
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        pair_pb2_grpc.add_TestServicer_to_server(Test(index), server)
        servers.append((server, server.add_insecure_port("127.0.0.1:0")))
        server.start()
    print(" ".join(str(port) for _, port in servers), flush=True)
    sys.stdin.read()
    for server, _ in servers:
        server.stop(0).wait()


main()
