#!/usr/bin/env python3
"""Writes the seeds of tests/fuzz/corpus: sessions by hand, as records (see fuzz_engine.h).

Usage: scripts/fuzz_corpus.py [folder]
"""
import gzip
import os
import struct
import sys
import zlib

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = range(10)
ROOT = sys.argv[1] if len(sys.argv) > 1 else "tests/fuzz/corpus"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value, first=0):
    name, value = name.encode(), value.encode()
    return bytes([first, len(name)]) + name + bytes([len(value)]) + value


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *p) for p in pairs))


def message(text, compressed=0):
    return bytes([compressed]) + struct.pack(">I", len(text)) + text


def request(path="/a.B/C", extra=b"", first=0x40):
    return (b"\x83\x86" + literal(":path", path, first) + literal(":authority", "a.test", first) +
            literal("te", "trailers", first) + literal("content-type", "application/grpc", first) + extra)


RESPONSE = b"\x88" + literal("content-type", "application/grpc", 0x40)
OK = literal("grpc-status", "0", 0x40)
ACK = frame(SETTINGS, 1)


def records(*items):
    """Bytes are input, tuples (op, argument) are the owner's doings."""
    out = b""
    for item in items:
        if isinstance(item, tuple):
            out += bytes([0, item[0], item[1]])
        elif len(item) < 255:
            out += bytes([len(item)]) + item
        else:
            out += b"\xff" + struct.pack(">H", len(item)) + item
    return out


def slices(bytes_, n):
    return [bytes_[i:i + n] for i in range(0, len(bytes_), n)]


def save(target, name, content):
    folder = os.path.join(ROOT, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".bin"), "wb") as to:
        to.write(content)


def write(role, name, habits, flags, fail, *items):
    save("fuzz_h2_" + role, name, bytes([habits, flags, fail]) + records(*items))


def server(name, *items, habits=0, flags=0, fail=0):
    write("server", name, habits, flags, fail, PREFACE + settings(), *items)


def client(name, *items, habits=0, flags=0x30, fail=0):
    write("client", name, habits, flags, fail, settings((3, 100)), *items)


unary = frame(HEADERS, 4, 1, request()) + frame(DATA, 1, 1, message(b"hello"))
server("unary", ACK + unary, (3, 255))
for habits in (1, 2, 4, 8 | 32, 16, 64, 128, 255):
    server("habits-%d" % habits, ACK + unary, (3, 255), (1, 0), habits=habits, flags=habits & 6)
server("bytewise", *slices(ACK + unary, 1), habits=2 | 32)
server("many", *[frame(HEADERS, 4, i, request()) + frame(DATA, 1, i, message(b"x" * i)) for i in range(1, 21, 2)],
       (3, 255), (3, 255), (1, 0), habits=2)
server("reset", frame(HEADERS, 4, 1, request()), frame(RST, 0, 1, struct.pack(">I", 8)), (3, 99))
server("rapid-reset", *[frame(HEADERS, 4, i, request()) + frame(RST, 0, i, struct.pack(">I", 8))
                        for i in range(1, 81, 2)])
server("continuation", frame(HEADERS, 1, 1, request()[:9]), frame(CONT, 0, 1, request()[9:20]),
       frame(CONT, 4, 1, request()[20:]))
server("empty-first-part", frame(HEADERS, 1, 1), frame(CONT, 0, 1), frame(CONT, 4, 1, request()), (3, 255))
server("padded", frame(HEADERS, 0x2d, 1, b"\x05\x00\x00\x00\x00\x10" + request() + b"\0" * 5),
       frame(PRIORITY, 0, 3, b"\0\0\0\1\5"))
server("stream", frame(HEADERS, 4, 1, request()), *[frame(DATA, 8, 1, b"\x03" + message(b"m" * n) + b"\0" * 3)
                                                    for n in (0, 1, 100, 5000)],
       frame(DATA, 1, 1), (4, 0), (3, 255), habits=2 | 8)
server("windows", settings((4, 0)), unary, (3, 99), frame(WINDOW, 0, 1, struct.pack(">I", 10)), (3, 99),
       settings((4, 100000), (5, 20000)), (3, 255), frame(WINDOW, 0, 0, struct.pack(">I", 100000)), (3, 255),
       habits=128)
server("window-overflow", unary, frame(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)))
server("table-size", settings((1, 0)), unary, settings((1, 4096)),
       frame(HEADERS, 5, 3, b"\x20\x3f\xe1\x1f" + request()), (3, 255))
server("trailers", frame(HEADERS, 4, 1, request()), frame(HEADERS, 5, 1, literal("x", "y")))
server("timeout", frame(HEADERS, 5, 1, request(extra=literal("grpc-timeout", "1m") + literal("a-bin", "AAEC"))))
server("bad-timeout", frame(HEADERS, 5, 1, request(extra=literal("grpc-timeout", "1x"))))
server("encoding", frame(HEADERS, 4, 1, request(extra=literal("grpc-encoding", "gzip"))),
       frame(DATA, 1, 1, message(b"zip", 1)))
server("not-grpc", frame(HEADERS, 5, 1, b"\x82\x86\x84" + literal(":authority", "a")))
server("malformed", frame(HEADERS, 5, 1, literal("x", "y") + request()))
server("content-length", frame(HEADERS, 4, 1, request(extra=literal("content-length", "3"))),
       frame(DATA, 1, 1, message(b"hello")))
server("unknown-method", frame(HEADERS, 5, 1, request("/x/y")))
server("drain", unary, (2, 0), (3, 255), frame(PING, 1, 0, b"fcdrain\0"), (1, 0), (3, 255))
server("ping-goaway", frame(PING, 0, 0, b"12345678"), frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"bye"))
server("too-large", frame(HEADERS, 4, 1, request()), frame(DATA, 0, 1, b"\0\0\1\0\0"))
server("large-list", *[frame(HEADERS, 5, i, request(extra=literal("k", "v" * 120, 0) * 40)) for i in (1, 3)])
server("compression-error", frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"))
server("oversize-frame", b"\xff\xff\xff\0\0\0\0\0\1")
server("settings-timeout", (0, 255), (1, 0), (1, 0))
server("memory", unary, unary, (3, 255), fail=9)
write("server", "http1", 0, 0, 0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

reply = frame(HEADERS, 4, 1, RESPONSE) + frame(DATA, 0, 1, message(b"hi")) + frame(HEADERS, 5, 1, OK)
client("unary", ACK + reply, (3, 255))
for habits in (8, 16, 32, 128, 255):
    client("habits-%d" % habits, ACK + reply, (3, 255), (1, 0), habits=habits)
client("bytewise", *slices(ACK + reply, 1))
client("trailers-only", frame(HEADERS, 5, 1, RESPONSE + literal("grpc-status", "5") +
                              literal("grpc-message", "not%20found%zz") + literal("a-bin", "AAE")))
client("interim", frame(HEADERS, 4, 1, literal(":status", "103")), reply)
client("http-error", frame(HEADERS, 4, 1, literal(":status", "503")), frame(DATA, 1, 1, b"busy"))
client("no-status", frame(HEADERS, 4, 1, RESPONSE), frame(DATA, 1, 1, message(b"x")))
client("bad-status", frame(HEADERS, 5, 1, RESPONSE + literal("grpc-status", "x")))
client("reset", *[frame(RST, 0, i, struct.pack(">I", code)) for i, code in ((1, 7), (3, 8), (5, 11))])
client("goaway", frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)), reply)
client("goaway-error", frame(GOAWAY, 0, 0, struct.pack(">II", 0, 11) + b"too_many_pings"))
client("stream", frame(HEADERS, 4, 1, RESPONSE), *[frame(DATA, 0, 1, message(b"m" * n)) for n in (0, 1, 4000)],
       (4, 0), (7, 0), (9, 0), frame(HEADERS, 5, 1, OK))
client("windows", settings((4, 0)), (3, 255), settings((4, 70000), (3, 1)), (8, 0), (3, 255),
       frame(WINDOW, 0, 0, struct.pack(">I", 100000)), (3, 255), reply, habits=128)
client("push", frame(PUSH, 4, 1, struct.pack(">I", 2) + request()))
client("cut-message", frame(HEADERS, 4, 1, RESPONSE), frame(DATA, 0, 1, b"\0\0\0\0\5hel"), frame(HEADERS, 5, 1, OK))
client("cancel", (5, 0), (6, 1), (3, 255), reply)
client("drain", (2, 0), reply, frame(RST, 0, 3, struct.pack(">I", 8)), frame(RST, 0, 5, struct.pack(">I", 8)), (1, 0))
client("memory", reply, (8, 0), (3, 255), fail=14)


# Compressed messages; flags: 0x40 takes codings and sends gzip, or with 0x80 deflate.
def coded(encoding, accept="gzip,deflate"):
    return request(extra=literal("grpc-encoding", encoding) + literal("grpc-accept-encoding", accept))


zipped, deflated = gzip.compress(b"m" * 5000, mtime=0), zlib.compress(b"m" * 5000)
for name, encoding, bytes_, flags in (("gzip", "gzip", zipped, 0x40), ("deflate", "deflate", deflated, 0xc0),
                                      ("members", "gzip", zipped + zipped, 0x40), ("cut", "gzip", zipped[:-3], 0x40),
                                      ("bomb", "deflate", zlib.compress(bytes(40001)), 0x40),
                                      ("full", "deflate", zlib.compress(bytes(40000)), 0x40),
                                      ("damage", "gzip", zipped[:12] + b"\xff" + zipped[13:], 0x40),
                                      ("lie", "gzip", zipped[:-4] + b"\xff" * 4, 0x40)):
    body = frame(DATA, 0, 1, message(b"plain") + message(bytes_, 1)) + frame(DATA, 1, 1, message(bytes_, 1))
    for habits in (0, 2 | 4, 2 | 128):
        server("coded-%s-%d" % (name, habits), ACK + frame(HEADERS, 4, 1, coded(encoding)) + body, (3, 255),
               habits=habits, flags=flags)
    client("coded-" + name, ACK + frame(HEADERS, 4, 1, RESPONSE + literal("grpc-encoding", encoding)) +
           frame(DATA, 0, 1, message(bytes_, 1)) + frame(HEADERS, 5, 1, OK), (3, 255), flags=flags | 0x30)
server("coded-bytewise", *slices(ACK + frame(HEADERS, 4, 1, coded("gzip")) + frame(DATA, 1, 1, message(zipped, 1)), 1),
       flags=0x40)
for fail in range(5, 13):
    server("coded-memory-%d" % fail, ACK + frame(HEADERS, 4, 1, coded("gzip")) +
           frame(DATA, 1, 1, message(zipped, 1)), (3, 255), flags=0x44, fail=fail, habits=2)


def inflating(name, coding, bytes_, root=255, fail=0):
    save("fuzz_inflate", name, bytes([coding, root, fail]) + bytes_)


words = b"".join(b"farcall %d " % i for i in range(300))
inflating("gzip", 0, gzip.compress(words, mtime=0))
inflating("deflate", 1, zlib.compress(words))
inflating("stored", 1, zlib.compress(words, 0))
inflating("limit", 1, zlib.compress(bytes(100 * 100 + 1)), root=100)
inflating("past-limit", 1, zlib.compress(bytes(100 * 100 + 2)), root=100)
inflating("members", 0, gzip.compress(words, mtime=0) + gzip.compress(b"", mtime=0) * 3)
inflating("named", 0, b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\2\0xyname\0note\0" + gzip.compress(words, mtime=0)[10:])
inflating("plain", 0, words)
inflating("memory", 0, gzip.compress(words, mtime=0), fail=2)


def hpack(name, *blocks, most=255, fail=0, limit=128):
    """Blocks of fuzz_hpack.c; None: the last one once more."""
    save("fuzz_hpack", name, bytes([most, fail, limit]) +
         b"".join(b"\0" if b is None else bytes([len(b)]) + b for b in blocks))


hpack("request", request(), None, b"\x83\x86\xc1\xc0\xbf\xbe", None, None, None)
hpack("literals", request(first=0), None, None, literal("a", "b", 0x10), None, None)
hpack("response", RESPONSE, b"\x88\xbe", OK, b"\xbe", None, None)
hpack("resize", b"\x20\x3f\xe1\x1f" + request(), b"\x20\x82", b"\xbe")
hpack("huffman", bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"), bytes.fromhex("828684be5886a8eb10649cbf"),
      bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"), None)
hpack("evict", *[literal("name", "v" * 200, 0x40)] * 22, b"\x7e\x01x", b"\xbe\xbf")
hpack("too-large", *[literal("name", "v" * 100, 0x40)] * 4, b"\xbe\xbf\xc0\xc1\xbe\xbf\xc0\xc1", b"\xbe", most=4)
hpack("many", b"\x82" * 130, None, b"\x82" * 128, None)
hpack("memory", request(), None, None, literal("a", "b"), None, None, fail=7)
