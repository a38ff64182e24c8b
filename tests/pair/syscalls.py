#!/usr/bin/python3
"""syscalls.py SERVER CLIENT: an uncontended call is three system calls of either process: the client writes,
waits and reads, the server waits, reads and writes. Counted by strace; without it the test is skipped (77),
or fails where FARCALL_REQUIRE_PEERS is set."""
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

CALLS = 200
SLACK = {"client": 0.02, "server": 0.1}  # held up for more than 10 ms; the server's other threads


def skip(why):
    print("skipped: " + why)
    sys.exit(1 if os.environ.get("FARCALL_REQUIRE_PEERS") else 77)


def run(server, client, calls, traced):
    """What strace wrote of the side that is traced."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        strace = ["strace", "-f", "-o", log]
        with subprocess.Popen((strace if traced == "server" else []) + [server, "127.0.0.1:0"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline().strip()
            if address == "":
                skip("strace may not trace here")
            done = subprocess.run((strace if traced == "client" else []) + [client, address, str(calls)],
                                  timeout=60, stderr=subprocess.PIPE)
            process.stdin.close()
        if b"ptrace" in done.stderr or b"Operation not permitted" in done.stderr:
            skip("strace may not trace here")
        if done.returncode != 0:
            sys.exit("client: " + done.stderr.decode())
        with open(log) as lines:
            return lines.read()


def names_in(text):
    return collections.Counter(re.findall(r"^\d+ +(\w+)\(", text, re.M))


def check(side, names):
    total = sum(names.values())
    print(f"{side}: {total / CALLS:.3f} system calls a call: {dict(names)}")
    return abs(total - 3 * CALLS) <= 3 * CALLS * SLACK[side]


def main():
    server, client = sys.argv[1:]
    if shutil.which("strace") is None:
        skip("strace is not installed")
    at_client = names_in(run(server, client, CALLS, "client").split("getppid")[1].split("\n", 1)[1])
    # The server does not know which call is the first that counts: two lengths, and their difference.
    at_server = names_in(run(server, client, 2 * CALLS, "server"))
    at_server.subtract(names_in(run(server, client, CALLS, "server")))
    at_server = collections.Counter({name: n for name, n in at_server.items() if n != 0})
    good = [check("client", at_client), check("server", at_server)]
    if not all(good):
        print("expected three")
        return 1
    return 0


sys.exit(main())
