#!/usr/bin/python3
"""Floors go strictly downward: reads every #include and fails on a breach of the table.

Each room may include itself and the rooms named; public headers count as part of the room that
implements them. Headers of the C library are free, those of POSIX belong to base, loop and
transport, and each third party is let in at its door only.
"""

import os
import re

import house

BASE, LOOP, TRANSPORT = "runtime/base", "runtime/loop", "runtime/transport"
PROTOCOL, CALL, SERVER, CLIENT = "runtime/protocol", "runtime/call", "server", "client"
RUNTIME = [BASE, LOOP, TRANSPORT, PROTOCOL, CALL]

# room: (rooms it may include beside itself, third parties)
ROOMS = {
    BASE: ([], []),
    LOOP: ([BASE], ["uv"]),
    TRANSPORT: ([LOOP, BASE], ["uv"]),
    PROTOCOL: ([BASE], ["zlib"]),
    CALL: ([PROTOCOL, TRANSPORT, LOOP, BASE, "generated"], ["protobuf-c"]),
    SERVER: (RUNTIME, []),
    CLIENT: (RUNTIME, []),
    "include/farcall": ([], ["protobuf-c"]),
    "generated": (["include/farcall"], ["protobuf-c"]),
    "services": (["include/farcall", "generated"], ["protobuf-c"]),
    "examples": (["include/farcall", "generated"], ["protobuf-c", "uv"]),
    "tools": (["include/farcall", "generated"], ["protobuf-c"]),
}
FREE_ROOMS = ["tests", "bench"]
POSIX_ROOMS = [BASE, LOOP, TRANSPORT, "examples", "tools", "bench"]

# Files that open a door of their own.
EXTRA = {
    "runtime/transport/tls.c": ["openssl"],
    "include/farcall/uv.h": ["uv"],
    "client/config_json.h": ["jansson"],
}

# A public header belongs to the room that implements it; farcall.h includes them all.
PUBLIC = {
    "api": BASE, "alloc": BASE, "code": BASE, "log": BASE, "loop": LOOP, "uv": LOOP,
    "interface": CALL, "call": CALL, "interceptor": CALL, "raw": CALL, "rich": CALL,
    "server": SERVER, "channel": CLIENT, "farcall": "generated",
}

C11 = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
wctype""".split()
PARTIES = {"uv": r"uv(/|\.h)", "protobuf-c": r"protobuf-c/", "zlib": r"zlib\.h", "openssl": r"openssl/",
           "nghttp2": r"nghttp2/", "cmocka": r"cmocka\.h",
           "jansson": r"jansson"}


def room_of(path):
    """The room a file of the tree stands in, the longest name first; None: it has no floor."""
    for room in sorted(list(ROOMS) + FREE_ROOMS, key=len, reverse=True):
        if path.startswith(room + "/"):
            return room
    return None


def party_of(header):
    for party, pattern in PARTIES.items():
        if re.match(pattern, header):
            return party
    return None


def judge_system(path, room, header):
    party = party_of(header)
    if party:
        if party not in ROOMS[room][1] + EXTRA.get(path, []):
            return f"<{header}>: {party} is not let into {room}"
    elif header.endswith(".h") and header[:-2] in C11:
        return None
    elif room not in POSIX_ROOMS:
        return f"<{header}>: the platform's headers belong to base, loop and transport"
    return None


def judge_public(room, header):
    name = header[len("farcall/"):-2]
    owner = PUBLIC.get(name)
    if owner is None:
        return f"{header}: no room is known to implement it"
    if room == "include/farcall" or "include/farcall" in ROOMS[room][0]:
        return None
    if owner != room and owner not in ROOMS[room][0]:
        return f"{header}: it belongs to {owner}, which {room} may not include"
    return None


def judge_ours(root, path, room, header):
    target = room_of(header)
    if target is None or not os.path.exists(os.path.join(root, header)):
        beside = os.path.join(root, os.path.dirname(path), header)
        if house.is_generated(header):
            if room == "generated" or "generated" in ROOMS[room][0]:
                return None
            return f"{header}: generated code is not let into {room}"
        if room in ("examples", "bench", "tools") and os.path.exists(beside):
            return None
        return f"{header}: not a path from the top of the tree"
    if target == room or target in ROOMS[room][0]:
        return None
    if target == "include/farcall":
        return f"{header}: public headers are included as <farcall/...>"
    return f"{header}: {room} may not include {target}"


def check(root):
    for path in house.files(root, ".c", ".h"):
        room = room_of(path)
        if room in FREE_ROOMS:
            continue
        if room is None:
            yield path, 0, "stands in no room that has a floor"
            continue
        lines = house.without_comments(house.read(root, path), strings=False).split("\n")
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            header = match.group(2)
            if header.startswith("farcall/"):
                fault = judge_public(room, header)
            elif match.group(1) == "<":
                fault = judge_system(path, room, header)
            elif party_of(header):
                fault = judge_system(path, room, header)
            else:
                fault = judge_ours(root, path, room, header)
            if fault:
                yield path, number, fault


def plant(path, include):
    return {path: f"/* planted */\n#include {include}\n"}, f"{path}:2: "


CLEAN = {
    "runtime/base/buf.h": "#include <stddef.h>\n#include <farcall/api.h>\n#include <unistd.h>\n",
    "runtime/loop/loop.h": '#include "runtime/base/buf.h"\n#include <uv.h>\n',
    "runtime/protocol/h2/frame.c": '#include "runtime/base/buf.h"\n#include <zlib.h>\n',
    "runtime/call/call.c": '#include "runtime/protocol/h2/frame.c"\n#include <protobuf-c/protobuf-c.h>\n',
    "runtime/transport/tls.c": "#include <openssl/ssl.h>\n#include <sys/socket.h>\n",
    "server/server.c": '#include "runtime/call/call.c"\n/* #include "client/channel.h" */\n',
    "client/channel.h": "#include <farcall/channel.h>\n",
    "server/server.h": "#include <farcall/server.h>\n",
    "include/farcall/uv.h": "#include <uv.h>\n#include <farcall/loop.h>\n",
    "tools/plugin/plugin.c": '#include "google/plugin.pb-c.h"\n#include "plugin.h"\n#include <unistd.h>\n',
    "tools/plugin/plugin.h": "#include <protobuf-c/protobuf-c.h>\n",
    "generated/demo.farcall.h": '#include <farcall/call.h>\n#include "demo.pb-c.h"\n',
    "tests/unit/test_any.c": '#include "client/channel.h"\n#include <nghttp2/nghttp2.h>\n',
}

PLANTS = [
    plant("runtime/base/bad.c", '"runtime/loop/loop.h"'),
    plant("runtime/base/bad.c", "<uv.h>"),
    plant("runtime/base/bad.c", "<farcall/server.h>"),
    plant("runtime/loop/bad.h", '"runtime/transport/tls.c"'),
    plant("runtime/protocol/h2/bad.c", '"runtime/loop/loop.h"'),
    plant("runtime/protocol/h2/bad.c", "<uv.h>"),
    plant("runtime/protocol/h2/bad.c", "<sys/socket.h>"),
    plant("runtime/protocol/bad.c", "<protobuf-c/protobuf-c.h>"),
    plant("runtime/protocol/bad.c", "<nghttp2/nghttp2.h>"),
    plant("runtime/transport/tcp.c", "<openssl/ssl.h>"),
    plant("runtime/call/bad.c", '"server/server.h"'),
    plant("runtime/call/bad.c", "<unistd.h>"),
    plant("runtime/call/bad.c", "<uv.h>"),
    plant("runtime/call/bad.c", '"buf.h"'),
    plant("server/bad.c", '"client/channel.h"'),
    plant("server/bad.c", "<farcall/channel.h>"),
    plant("server/bad.c", '"demo.pb-c.h"'),
    plant("runtime/protocol/bad.c", '"generated/demo.pb-c.h"'),
    plant("client/bad.c", '"server/server.h"'),
    plant("client/bad.c", "<uv.h>"),
    plant("generated/bad.farcall.c", '"runtime/base/buf.h"'),
    plant("examples/bad.c", '"runtime/base/buf.h"'),
    plant("include/farcall/call.h", "<uv.h>"),
    plant("include/farcall/code.h", '"runtime/base/buf.h"'),
    ({"attic/old.c": "int old;\n"}, "no room that has a floor"),
]

if __name__ == "__main__":
    house.run(check, PLANTS, CLEAN)
