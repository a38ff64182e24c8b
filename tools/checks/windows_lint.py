#!/usr/bin/python3
"""Would a Windows compiler take it? Reads all but *_posix.c as clang for x86_64-w64-windows-gnu, as C11
and nothing more: no VLA, no GNU extension, no POSIX call, no function that is not declared.

    windows_lint.py [--clang CLANG] [--mingw FOLDER] [ROOT]
    windows_lint.py --self-test [...]

Headers of the C library come from mingw-w64 (package mingw-w64-x86-64-dev). Without it, or without
clang, the check is skipped by name (exit 77), or fails if --require is given.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import house

ROOMS = ("runtime", "server", "client", "include/farcall")
FLAGS = ["--target=x86_64-w64-windows-gnu", "-std=c11", "-fsyntax-only", "-pedantic-errors", "-Werror",
         "-Wall", "-Wextra", "-Wvla", "-Wgnu", "-Wimplicit-function-declaration", "-Wundef",
         "-Wno-unused-command-line-argument", "-Wno-ignored-attributes", "-DFARCALL_BUILDING",
         "-D_WIN32_WINNT=0x0A00", "-D__USE_MINGW_ANSI_STDIO=1"]
MINGW = "/usr/x86_64-w64-mingw32/include"
THIRD_PARTY = ("protobuf-c", "uv", "uv.h", "zlib.h", "zconf.h", "google/protobuf-c",
               "jansson.h", "jansson_config.h")


def third_party(folder):
    """A folder with nothing but the third parties' headers, so that the host's own stay out."""
    for name in THIRD_PARTY:
        for place in ("/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/local/include"):
            source = os.path.join(place, name)
            target = os.path.join(folder, name)
            if os.path.exists(source) and not os.path.exists(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.symlink(source, target)


def judge(root, folder, clang, mingw, path):
    command = [clang] + FLAGS + ["-nostdlibinc", "-isystem", mingw, "-isystem", folder,
                                 f"-I{root}", f"-I{root}/include", f"-I{root}/generated"]
    source = os.path.join(root, path)
    if path.endswith(".h"):
        command += ["-x", "c"]
        source = os.path.join(folder, path.replace("/", "_") + ".c")
        include = f"<{path[len('include/'):]}>" if path.startswith("include/") else f'"{path}"'
        pathlib.Path(source).write_text(f"#include {include}\nextern int c11_wants_something;\n",
                                        encoding="utf-8")
    result = subprocess.run(command + [source], check=False, capture_output=True, text=True)
    return result.stderr.strip() if result.returncode else None


def check(root, clang, mingw):
    paths = [p for room in ROOMS for p in house.files(root, ".c", ".h", under=room)
             if not p.endswith("_posix.c")]
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        third_party(folder)
        under_way = [(p, pool.submit(judge, root, folder, clang, mingw, p)) for p in paths]
        for path, job in under_way:
            if job.result():
                yield path, 0, job.result()


PLANTS = [
    ({"runtime/base/a.c": "void f(int n);\nvoid f(int n) { int a[n]; a[0] = n; }\n"}, "variable length array"),
    ({"runtime/base/a.c": "int f(int x);\nint f(int x) { return ({ x; }); }\n"}, "statement expression"),
    ({"runtime/protocol/a.c": "#include <unistd.h>\nint f(void);\nint f(void) { return fork(); }\n"}, "fork"),
    ({"server/a.c": "#include <sys/socket.h>\nint a;\n"}, "sys/socket.h"),
    ({"client/a.c": "#include <string.h>\nvoid *f(void *p);\nvoid *f(void *p) { return memmem(p, 1, p, 1); }\n"},
     "memmem"),
    ({"runtime/call/a.c": "int f(int x);\nint f(int x) { return x ?: 1; }\n"}, "GNU"),
    ({"runtime/call/a.c": "struct a { int n; };\nstruct a b = {};\n"}, "empty initializer"),
    ({"runtime/base/a.h": "typedef int a(ssize_t b);\n"}, "ssize_t"),
]
CLEAN = {
    "runtime/base/ok.c": "#include <stdio.h>\n#include <stdint.h>\n#include <string.h>\n#include <stdatomic.h>\n"
                         "int ok(size_t n);\nint ok(size_t n) { return printf(\"%zu\", n); }\n",
    "runtime/base/ok_posix.c": "#include <sys/socket.h>\nint a;\n",
    "include/farcall/ok.h": "#include <stddef.h>\nsize_t ok_too(void);\n",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--require", action="store_true")
    parser.add_argument("--clang", default="clang")
    parser.add_argument("--mingw", default=MINGW)
    parser.add_argument("root", nargs="?", default=str(house.root_folder()))
    options = parser.parse_args()
    missing = [name for name, there in (("clang", shutil.which(options.clang)),
                                        ("mingw-w64-x86-64-dev", os.path.isdir(options.mingw))) if not there]
    if missing:
        print(f"{' and '.join(missing)} not installed: skipped")
        return 1 if options.require else 77
    if options.self_test:
        return house.self_test(lambda root: check(root, options.clang, options.mingw), PLANTS, CLEAN)
    findings = list(check(options.root, options.clang, options.mingw))
    for path, _, text in findings:
        print(f"{path}:\n{text}")
    print(f"windows_lint.py: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
