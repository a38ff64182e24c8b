"""grpcio's client against stream-server (argument 1): all shapes, half-close in either order, cancel, deadline,
back-pressure, 10,000 messages each way."""
import itertools
import os
import queue
import subprocess
import sys
import threading
import time
import unittest

import grpc
import stream_pb2
import stream_pb2_grpc

PROGRAM = sys.argv.pop(1)
MANY = 10000
CODING = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}.get(os.environ.get("FARCALL_TEST_CODING"))
Message = stream_pb2.Message
Code = grpc.StatusCode


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.002)


class Says:
    """Requests that a test gives one by one; None ends them."""

    def __init__(self, *first):
        self.queue = queue.Queue()
        for message in first:
            self.queue.put(message)

    def __iter__(self):
        return self

    def __next__(self):
        message = self.queue.get()
        if message is None:
            raise StopIteration
        return message

    def say(self, message):
        self.queue.put(message)


class Base(unittest.TestCase):
    arguments = []

    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([PROGRAM, *cls.arguments],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        port = int(cls.process.stdout.readline())
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{port}", compression=CODING, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
        cls.stub = stream_pb2_grpc.TestStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.process.stdin.close()
        cls.process.stdout.close()
        assert cls.process.wait(60) == 0

    def ends_with(self, call, code):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code)
        return caught.exception.details()

    def cancelled(self):
        return self.stub.Cancelled(Message(), timeout=60).number

    def until_a_handler_learns(self, end_after, seconds):
        """One may be over before the server has begun it: then it is tried again, with more time."""
        before = self.cancelled()
        for _ in range(4):
            end_after(seconds)
            for _ in range(200):
                if self.cancelled() > before:
                    return
                time.sleep(0.01)
            seconds *= 4
        self.fail("the handler has not learned of it")


class Chats:
    """What holds for Chat and for Murmur, which is the same without a thread."""

    def test_nothing(self):
        self.assertEqual(list(self.chat(iter([]), timeout=60)), [])

    def test_ping_pong(self):
        says = Says()
        call = self.chat(says, timeout=60)
        for i in range(200):
            says.say(Message(number=i, data=bytes(i * 7)))
            self.assertEqual(next(call), Message(number=i, data=bytes(i * 7)))
        says.say(None)
        self.assertEqual(list(call), [])
        self.assertEqual(call.code(), Code.OK)

    def test_many(self):
        call = self.chat((Message(number=i, text="many") for i in range(MANY)), timeout=120)
        self.assertEqual([m.number for m in call], list(range(MANY)))

    def test_large(self):
        sizes = [0, 1, 16383, 65536, 1 << 20, 3 << 20, 5, 0]
        call = self.chat((Message(data=bytes(n)) for n in sizes), timeout=60)
        self.assertEqual([len(m.data) for m in call], sizes)

    def test_server_ends_early(self):
        says = Says(Message(number=1), Message(text="end"))
        call = self.chat(says, timeout=60)
        self.assertEqual([m.number for m in call], [1])
        self.assertEqual(call.code(), Code.OK)
        says.say(None)

    def test_server_fails_after_messages(self):
        says = Says(Message(number=1), Message(number=2), Message(code=9, text="no: é"))
        call = self.chat(says, timeout=60)
        got = []
        details = self.ends_with(lambda: got.extend(m.number for m in call), Code.FAILED_PRECONDITION)
        says.say(None)
        self.assertEqual(details, "no: é")

    def test_bad_message(self):
        call = self.channel.stream_stream(self.path)
        says = Says(b"\x18\x01", b"\x0a\x02\xc0\x80")
        details = self.ends_with(lambda: list(call(says, timeout=60)), Code.INVALID_ARGUMENT)
        self.assertIn("stream.Message.text", details)
        says.say(None)

    def test_too_large(self):
        says = Says(Message(number=1), Message(data=bytes(4 << 20)))
        details = self.ends_with(lambda: list(self.chat(says, timeout=60)), Code.RESOURCE_EXHAUSTED)
        self.assertIn(str(4 << 20), details)
        says.say(None)

    def test_cancel(self):
        before = self.cancelled()
        for last in (0, 1, 50):
            says = Says(*(Message(number=i) for i in range(last)))
            call = self.chat(says, timeout=60)
            for i in range(last):
                self.assertEqual(next(call).number, i)
            call.cancel()
            says.say(None)
        # The first may be gone before its handler has begun.
        wait_until(lambda: self.cancelled() >= before + 2)

    def test_deadline(self):
        def chat(seconds):
            says = Says(Message(number=1))
            start = time.monotonic()
            self.ends_with(lambda: list(self.chat(says, timeout=seconds)), Code.DEADLINE_EXCEEDED)
            self.assertLess(time.monotonic() - start, seconds + 20)
            says.say(None)

        self.until_a_handler_learns(chat, 0.1)

    def test_client_stops_reading(self):
        """It is held back in what it sends, and all comes in order when it goes on."""
        said = itertools.count()
        sent = []

        def messages():
            for i in range(800):
                sent.append(next(said))
                yield Message(number=i, data=os.urandom(20000))  # does not compress

        call = self.chat(messages(), timeout=120)
        wait_until(lambda: len(sent) > 20)
        stands = -1
        while stands != len(sent):
            stands = len(sent)
            time.sleep(0.2)
        self.assertLess(stands, 800)
        self.assertEqual([m.number for m in call], list(range(800)))

    def test_stalled_streams_do_not_slow_another(self):
        stalled = [self.chat((Message(data=bytes(50000)) for _ in range(300)), timeout=600)
                   for _ in range(20)]
        time.sleep(0.1)
        call = self.chat((Message(number=i, data=bytes(1000)) for i in range(500)), timeout=400)
        self.assertEqual([m.number for m in call], list(range(500)))
        for call in stalled:
            call.cancel()


class Chat(Base, Chats):
    path = "/stream.Test/Chat"

    def chat(self, *arguments, **options):
        return self.stub.Chat(*arguments, **options)

    def test_metadata(self):
        call = self.stub.Chat(iter([Message(number=1)]), metadata=(("say", "hello"),), timeout=60)
        self.assertIn(("said", "hello"), [tuple(pair) for pair in call.initial_metadata()])
        self.assertEqual(len(list(call)), 1)
        self.assertIn(("said-last", "hello"), [tuple(pair) for pair in call.trailing_metadata()])

    def test_head_first(self):
        """The client says nothing before the response's head has come."""
        says = Says()
        call = self.stub.Chat(says, metadata=(("say", "hello"), ("say-first", "please")), timeout=60)
        self.assertIn(("said", "hello"), [tuple(pair) for pair in call.initial_metadata()])
        says.say(Message(number=1))
        self.assertEqual(next(call).number, 1)
        says.say(None)
        self.assertEqual(list(call), [])

    def test_count(self):
        for n in (0, 1, 7):
            call = self.stub.Count(Message(number=n, size=100), timeout=60)
            got = list(call)
            self.assertEqual([m.number for m in got], list(range(n)))
            self.assertEqual([m.text for m in got], [f"number {i}" for i in range(n)])
            self.assertTrue(all(m.data == bytes([m.number]) * 100 for m in got))
            self.assertEqual(call.code(), Code.OK)

    def test_count_many(self):
        call = self.stub.Count(Message(number=MANY, size=10), timeout=120)
        self.assertEqual([m.number for m in call], list(range(MANY)))

    def test_count_fails_after_messages(self):
        call = self.stub.Count(Message(number=3, code=5, text="and no more"), timeout=60)
        got = []
        details = self.ends_with(lambda: [got.append(m.number) for m in call], Code.NOT_FOUND)
        self.assertEqual((got, details), ([0, 1, 2], "and no more"))

    def test_count_fails_at_once(self):
        call = self.stub.Count(Message(code=5, text="none"), timeout=60)
        self.assertEqual(self.ends_with(lambda: list(call), Code.NOT_FOUND), "none")

    def test_count_cancelled(self):
        before = self.cancelled()
        call = self.stub.Count(Message(number=1 << 30, size=1000), timeout=120)
        for _ in range(100):
            next(call)
        call.cancel()
        wait_until(lambda: self.cancelled() > before)

    def test_count_deadline(self):
        def count(seconds):
            call = self.stub.Count(Message(number=1 << 30, size=10), timeout=seconds)
            self.ends_with(lambda: list(call), Code.DEADLINE_EXCEEDED)

        self.until_a_handler_learns(count, 0.3)

    def test_sum(self):
        for n in (0, 1, 100):
            reply = self.stub.Sum((Message(number=i) for i in range(n)), timeout=60)
            self.assertEqual((reply.number, reply.size), (sum(range(n)), n))

    def test_sum_many(self):
        reply = self.stub.Sum((Message(number=1) for _ in range(MANY)), timeout=120)
        self.assertEqual((reply.number, reply.size), (MANY, MANY))

    def test_sum_fails_early(self):
        says = Says(Message(number=1), Message(code=3, text="not that one"))
        details = self.ends_with(lambda: self.stub.Sum(says, timeout=60), Code.INVALID_ARGUMENT)
        self.assertEqual(details, "not that one")
        says.say(None)

    def test_sum_cancelled(self):
        def cancel(seconds):
            says = Says(Message(number=1))
            future = self.stub.Sum.future(says, timeout=60)
            time.sleep(seconds)
            future.cancel()
            says.say(None)

        self.until_a_handler_learns(cancel, 0.05)

    def test_many_streams_at_once(self):
        """More than the server has threads for blocking handlers: the others wait for theirs."""
        def chat(n):
            call = self.stub.Chat((Message(number=i) for i in range(50)), timeout=120)
            results[n] = [m.number for m in call]

        results = [None] * 100
        threads = [threading.Thread(target=chat, args=(n,)) for n in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [list(range(50))] * 100)


class Murmur(Base, Chats):
    path = "/stream.Test/Murmur"

    def chat(self, *arguments, **options):
        return self.stub.Murmur(*arguments, **options)

    def test_many_streams_at_once(self):
        n = 500
        says = [Says(Message(number=i)) for i in range(n)]
        calls = [self.stub.Murmur(s, timeout=120) for s in says]
        self.assertEqual([next(call).number for call in calls], list(range(n)))
        for s in says:
            s.say(None)
        self.assertEqual([list(call) for call in calls], [[]] * n)


class LentMurmur(Murmur):
    """On a loop that the program steps."""
    arguments = ["lent"]

    def test_blocking_steps_are_refused(self):
        for call in (self.stub.Chat(iter([Message(number=1)]), timeout=60),
                     self.stub.Count(Message(number=1), timeout=60)):
            self.ends_with(lambda: list(call), Code.FAILED_PRECONDITION)
        self.ends_with(lambda: self.stub.Sum(iter([]), timeout=60), Code.FAILED_PRECONDITION)


unittest.main()
