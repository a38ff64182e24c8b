#!/usr/bin/python3
"""syscalls.py SERVER CLIENT: an uncontended call is three system calls of either process: the client writes,
waits and reads, the server waits, reads and writes. Counted by strace; without it the test is skipped (77),
or fails where FARCALL_REQUIRE_PEERS is set.

Counted is from one write to the next, by the thread that writes, and the median of all calls counts: a busy
machine holds up single ones, so that they take more, and the server's other threads have a look now and then."""
import collections
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

CALLS = 200


def skip(why):
    print("skipped: " + why)
    sys.exit(1 if os.environ.get("FARCALL_REQUIRE_PEERS") else 77)


def run(server, client, traced):
    """What strace wrote of the side that is traced."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        strace = ["strace", "-f", "-o", log]
        with subprocess.Popen((strace if traced == "server" else []) + [server, "127.0.0.1:0"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline().strip()
            if address == "":
                skip("strace may not trace here")
            done = subprocess.run((strace if traced == "client" else []) + [client, address, str(CALLS)],
                                  timeout=300, stderr=subprocess.PIPE)
            process.stdin.close()
        if b"ptrace" in done.stderr or b"Operation not permitted" in done.stderr:
            skip("strace may not trace here")
        if done.returncode != 0:
            sys.exit("client: " + done.stderr.decode())
        with open(log) as lines:
            return lines.read()


def between_writes(text):
    """The names of each thread's system calls, from one write to before the next."""
    seen, under_way = [], {}
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", text, re.M):
        if name == "sendmsg":
            seen.append(under_way.get(thread))
            under_way[thread] = []
        if thread in under_way:
            under_way[thread].append(name)
    return [tuple(names) for names in seen if names is not None]


def check(side, text):
    seen = between_writes(text)
    if len(seen) < CALLS / 2:
        print(f"{side}: only {len(seen)} calls were seen")
        return False
    median = statistics.median(len(names) for names in seen)
    print(f"{side}: {median:g} system calls a call; {collections.Counter(seen).most_common(3)}")
    return median == 3


def main():
    server, client = sys.argv[1:]
    if shutil.which("strace") is None:
        skip("strace is not installed")
    good = [check(side, run(server, client, side)) for side in ("client", "server")]
    if not all(good):
        print("expected three")
        return 1
    return 0


sys.exit(main())
