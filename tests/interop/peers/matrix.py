#!/usr/bin/python3
"""Runs gRPC's interop cases between farcall's programs and a peer, both ways: matrix.py --bin FOLDER PEER.

PEER is farcall, grpcio, http2, cache, js, nginx or haproxy. All talk on loopback or unix sockets, each case has its
time, and what was started is ended. A peer that is not installed: says so and exits with 77, or with 1 if
FARCALL_REQUIRE_PEERS is set. Prints a line for each case, and at last "N passed, N failed".
"""
import argparse
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
CASE_SECONDS, START_SECONDS, STOP_SECONDS = 400, 60, 60

UNARY = """empty_unary large_unary custom_metadata status_code_and_message special_status_message unimplemented_method
    unimplemented_service""".split()
STREAMS = """client_streaming server_streaming half_duplex ping_pong empty_stream cancel_after_begin
    cancel_after_first_response timeout_on_sleeping_server""".split()
COMPRESSED = """client_compressed_unary server_compressed_unary client_compressed_streaming
    server_compressed_streaming""".split()
SOAK = ["rpc_soak", "channel_soak"]
MANY = ["concurrent_large_unary", "slow_consumer"]
HTTP2 = """goaway max_streams ping rst_after_header rst_after_data rst_during_data""".split()
OURS = UNARY + STREAMS + COMPRESSED + SOAK + MANY  # farcall's client, against a server that lacks nothing
SERVER_COMPRESSES = ["server_compressed_unary", "server_compressed_streaming"]
# The server ends these before the client has: haproxy then sends RST_STREAM(CANCEL) behind the status, and grpcio
# takes that for the outcome, now and then; with gRPC's C++ server behind haproxy, too.
EARLY_ENDS = ["status_code_and_message", "client_compressed_streaming"]
# Padding is the server's affair: the client's part is a call.
PADDED = {"data_frame_padding": "large_unary", "no_df_padding_sanity_test": "large_unary"}

FLAGS = {
    "rpc_soak": ["--soak_iterations=50", "--soak_overall_timeout_seconds=300", "--soak_per_iteration_max_acceptable_latency_ms=20000"],
    "channel_soak": ["--soak_iterations=50", "--soak_overall_timeout_seconds=300", "--soak_per_iteration_max_acceptable_latency_ms=20000", "--soak_num_threads=3"],
    "slow_consumer": ["--slow_consumer_delay_ms=1"],
    "concurrent_large_unary": ["--call_timeout_seconds=360"],
}


class Missing(Exception):
    """A peer is not installed."""


class Score:
    passed = failed = 0

    def count(self, what, output):
        """`output` None: it passed."""
        if output is None:
            self.passed += 1
            print("ok  ", what, flush=True)
        else:
            self.failed += 1
            print("FAIL", what, flush=True)
            print("\n".join("     " + line for line in output.splitlines()[-20:]), flush=True)


class Server:
    """A program that prints "listens on ADDRESS", or is given `address` to listen on; ended with the block.

    `pass_fds`: sockets that it inherits and `address` is one of: they take connections before it does.

    `score`: it must end well, by SIGTERM; that is counted.
    """

    def __init__(self, name, command, address=None, env=None, score=None, pass_fds=()):
        self.name, self.command, self.address, self.env, self.score = name, command, address, env, score
        self.pass_fds = pass_fds
        self.log = tempfile.TemporaryFile("w+")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env,
                                        pass_fds=self.pass_fds)
        try:
            if self.address is None:
                self.address = self.read_address()
            elif not self.pass_fds:
                self.await_socket()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def read_address(self):
        end = time.monotonic() + START_SECONDS
        while select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
            line = self.process.stdout.readline()
            found = re.search(r"listens on (\S+)$", line)
            if found:
                return found.group(1)
            if not line:
                break
        raise RuntimeError(f"{self.name} has not started: {self.said()}")

    def await_socket(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.address.removeprefix("unix:"))
                    return
                except OSError:
                    time.sleep(0.02)
        raise RuntimeError(f"{self.name} has not started: {self.said()}")

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def wait(self):
        """For its own end; what is wrong, None if nothing."""
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{self.name} has not ended\n{self.said()}"
        return None if status == 0 else f"{self.name} ended with {status}\n{self.said()}"

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        wrong = self.wait()
        if self.score is not None:
            self.score.count(self.name + " ends", wrong)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def run(command, env=None):
    """What a client printed, if it failed; None if it passed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=CASE_SECONDS, env=env)
    except subprocess.TimeoutExpired as late:
        return f"not done after {CASE_SECONDS} s\n{(late.stdout or b'').decode(errors='replace')}"
    return None if done.returncode == 0 else f"exit {done.returncode}\n{done.stdout}"


def python(script, *words):
    return [PYTHON, "-B", str(HERE / script), *words]


class Matrix:
    def __init__(self, programs, folder, node_modules):
        self.programs, self.folder, self.score = pathlib.Path(programs), pathlib.Path(folder), Score()
        self.js_env = dict(os.environ, NODE_PATH=str(node_modules), IDL=str(HERE.parents[2] / "idl"))

    # ---- servers and clients ----

    def farcall_server(self, address="127.0.0.1:0"):
        return Server("farcall-interop-server", [self.programs / "farcall-interop-server", "--address=" + address],
                      score=self.score)

    def unix(self, name):
        return f"unix:{self.folder}/{name}"

    def farcall(self, server, case, *more):
        """One case of farcall's client."""
        host = re.fullmatch(r"ipv4:(.*):(\d+)", server.address)
        where = ([f"--server_host={host.group(1)}", f"--server_port={host.group(2)}"] if host
                 else ["--target=" + server.address])
        return run([self.programs / "farcall-interop-client", *where, "--test_case=" + case, *FLAGS.get(case, []), *more])

    def farcall_cases(self, title, server, cases, *more):
        for case in cases:
            self.score.count(f"farcall -> {title}: {case}", self.farcall(server, case, *more))

    def grpcio_cases(self, title, server, cases):
        for case in cases:
            self.score.count(f"grpcio -> {title}: {case}", run(python(
                "grpcio_client.py", "--target=" + server.address, "--test_case=" + case)))

    # ---- peers ----

    def run_farcall(self):
        with self.farcall_server() as server:
            self.farcall_cases("farcall", server, OURS)
        with self.farcall_server(self.unix("s")) as server:
            self.farcall_cases("farcall, unix", server, ["large_unary", "ping_pong"])
        self.check_refusals()

    def check_refusals(self):
        """With nobody there, each case must fail; so must words that are no flags."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            where = [f"--server_host=127.0.0.1", f"--server_port={nobody.getsockname()[1]}"]
            for case in OURS + HTTP2 + ["cacheable_unary"]:
                self.must_fail(f"nobody listens: {case}", 1, "connection refused", *where, "--test_case=" + case,
                               "--connect_timeout_ms=100", again="--connect_timeout_ms=10000")
        self.must_fail("unknown case", 2, "large_unary", "--test_case=none")
        self.must_fail("unknown flag", 2, "unknown flag --server_prt=1", "--server_prt=1")
        self.must_fail("no number", 2, "is no number", "--server_port=x")
        self.must_fail("no boolean", 2, "is no boolean", "--use_tls=maybe")
        self.must_fail("no value", 2, "lacks a value", "--test_case")
        self.must_fail("TLS", 2, "there is no TLS", "--use_tls=true")

    def must_fail(self, what, status, text, *words, again=None):
        """With `again`, which a busy machine may need, if not at once."""
        def fails(output):
            return output is not None and output.startswith(f"exit {status}\n") and text in output

        output = run([self.programs / "farcall-interop-client", *words])
        if not fails(output) and again is not None:
            output = run([self.programs / "farcall-interop-client", *words, again])
        good = fails(output)
        self.score.count(f"farcall -> {what}: is refused", None if good else output or "it passed")

    def run_grpcio(self):
        # grpcio's server cannot see what was compressed.
        with Server("grpcio", python("grpcio_server.py")) as server:
            self.farcall_cases("grpcio", server, UNARY + STREAMS + SERVER_COMPRESSES + SOAK + MANY)
        with self.farcall_server() as server:
            self.grpcio_cases("farcall", server, UNARY + STREAMS + COMPRESSED + ["concurrent_large_unary"])

    def run_http2(self):
        for case, client_case in {**{case: case for case in HTTP2}, **PADDED}.items():
            with Server("http2_server", python("http2_server.py", case)) as server:
                output = self.farcall(server, client_case)
                self.score.count(f"farcall -> h2: {case}", output or server.wait())
        with self.farcall_server() as server:
            self.score.count("h2 -> farcall: data_frame_padding", run(python(
                "http2_client.py", "--target=" + server.address.removeprefix("ipv4:"))))

    def run_cache(self):
        with self.farcall_server() as server:
            output = self.farcall(server, "cacheable_unary")
            self.score.count("farcall -> farcall: cacheable_unary needs a proxy",
                             None if output and "caching proxy" in output else output or "it passed")
            proxy = Server("caching_proxy", python("caching_proxy.py", "--backend=" + server.address))
            with proxy:
                self.farcall_cases("cache -> farcall", proxy, ["cacheable_unary"])

    def run_js(self):
        # grpc-js' server compresses nothing, and cannot see what was compressed.
        with Server("grpc-js", ["node", HERE / "js/server.js"], env=self.js_env) as server:
            self.farcall_cases("grpc-js", server, UNARY + STREAMS + SOAK + MANY)
        with self.farcall_server() as server:
            for case in UNARY + STREAMS + COMPRESSED + ["concurrent_large_unary"]:
                self.score.count(f"grpc-js -> farcall: {case}", run(
                    ["node", HERE / "js/client.js", "--target=" + server.address, "--test_case=" + case], self.js_env))

    def behind(self, name, command, cases, *more, not_of_grpcio=()):
        """Through a proxy that listens on "proxy" and asks "s"; `command` starts it. `more`: flags of our client."""
        with self.farcall_server(self.unix("s")), Server(name, command, self.unix("proxy")) as proxy:
            self.farcall_cases(f"{name} -> farcall", proxy, cases, *more)
            self.grpcio_cases(f"{name} -> farcall", proxy, [
                case for case in UNARY + STREAMS + COMPRESSED if case not in not_of_grpcio])

    def run_nginx(self):
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; master_process off; pid {self.folder}/pid; error_log stderr;
            worker_rlimit_nofile 4096;
            events {{ worker_connections 2048; }}
            http {{
                access_log off; client_max_body_size 0;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/t1;
                fastcgi_temp_path {self.folder}/t2; uwsgi_temp_path {self.folder}/t3; scgi_temp_path {self.folder}/t4;
                upstream farcall {{ server unix:{self.folder}/s; keepalive 16; }}
                server {{
                    listen unix:{self.folder}/proxy http2;
                    location / {{ grpc_pass grpc://farcall; }}
                }}
            }}""")
        self.behind("nginx", ["nginx", "-e", "stderr", "-p", self.folder, "-c", self.folder / "nginx.conf"], OURS)

    def haproxy(self, bind, server):
        """The command; it listens on `bind` and asks `server`."""
        (self.folder / "haproxy.cfg").write_text(f"""
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend grpc
    bind {bind} proto h2
    default_backend farcall
backend farcall
    server one {server} proto h2
""")
        return ["haproxy", "-db", "-q", "-f", self.folder / "haproxy.cfg"]

    def run_haproxy(self):
        self.behind("haproxy", self.haproxy(f"unix@{self.folder}/proxy", f"unix@{self.folder}/s"), OURS,
                    not_of_grpcio=EARLY_ENDS)
        # Sockets of TCP hold megabytes, and a proxy that waits for a window may have to read all that is before it.
        with self.farcall_server() as server, socket.create_server(("127.0.0.1", 0)) as front:
            command = self.haproxy(f"fd@{front.fileno()}", server.address.removeprefix("ipv4:"))
            with Server("haproxy", command, f"ipv4:127.0.0.1:{front.getsockname()[1]}",
                        pass_fds=[front.fileno()]) as proxy:
                self.farcall_cases("haproxy, TCP -> farcall", proxy, ["concurrent_large_unary"] * 10,
                                   "--concurrent_calls=100")


# peer: (programs, Python's modules) that it needs
NEEDS = {
    "farcall": ([], []),
    "grpcio": (["protoc"], ["grpc", "google.protobuf"]),
    "http2": (["protoc"], ["h2", "google.protobuf"]),
    "cache": (["protoc"], ["grpc", "google.protobuf"]),
    "js": (["node"], []),
    "nginx": (["nginx", "protoc"], ["grpc", "google.protobuf"]),
    "haproxy": (["haproxy", "protoc"], ["grpc", "google.protobuf"]),
}


def require(peer, node_modules):
    programs, modules = NEEDS[peer]
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for program in programs:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")
    for module in modules:
        if subprocess.run([PYTHON, "-c", "import " + module], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            raise Missing(f"Python's module {module} is not installed")
    if peer == "js" and not (node_modules / "@grpc/grpc-js").is_dir():
        raise Missing(f"@grpc/grpc-js is not installed in {node_modules}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", required=True)
    arguments.add_argument("--node_modules", type=pathlib.Path, default=pathlib.Path("node_modules"))
    arguments.add_argument("peer", choices=NEEDS)
    arguments = arguments.parse_args()
    for variable in ("http_proxy", "https_proxy", "grpc_proxy", "LD_PRELOAD"):
        os.environ.pop(variable, None)
    try:
        require(arguments.peer, arguments.node_modules)
    except Missing as missing:
        required = bool(os.environ.get("FARCALL_REQUIRE_PEERS"))
        print(f"{arguments.peer}: {missing}: {'FAILED' if required else 'skipped'}")
        sys.exit(1 if required else 77)
    with tempfile.TemporaryDirectory(prefix="farcall-") as folder:
        matrix = Matrix(arguments.bin, folder, arguments.node_modules.absolute())
        getattr(matrix, "run_" + arguments.peer)()
    print(f"{matrix.score.passed} passed, {matrix.score.failed} failed")
    sys.exit(matrix.score.failed != 0)


main()
