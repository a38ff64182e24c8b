#!/usr/bin/python3
"""Each header compiles alone: public ones as C11 and as C++17, pedantically; private ones as C11.

    headers.py [--cc CC] [--cxx CXX] [ROOT]
    headers.py --self-test [--cc CC] [--cxx CXX]

Without a C++ compiler the C++ half is skipped by name, or fails where FARCALL_REQUIRE_PEERS is set.
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

STRICT = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic-errors"]
C11 = ["-x", "c", "-std=c11", "-Wundef", "-Wstrict-prototypes", "-Wshadow"]
CXX17 = ["-x", "c++", "-std=c++17"]
PRIVATE = ["-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE"]
PRIVATE_ROOMS = ("runtime", "server", "client")


def package_flags():
    result = subprocess.run(["pkg-config", "--cflags", "libprotobuf-c", "libuv", "jansson"],
                            check=False, capture_output=True, text=True)
    return result.stdout.split()


def compile_alone(root, folder, path, include, command):
    """None, or the compiler's complaint. Included twice, so that guards are tried too."""
    source = pathlib.Path(folder, path.replace("/", "_") + "." + ("cc" if "c++" in command else "c"))
    source.write_text(f"#include {include}\n#include {include}\n"
                      "int main(void);\nint main(void) { return 0; }\n", encoding="utf-8")
    result = subprocess.run(command + [f"-I{root}/include", str(source)],
                            check=False, capture_output=True, text=True)
    return None if result.returncode == 0 else result.stderr.strip()


def jobs(root, cc, cxx):
    flags = package_flags()
    for path in house.files(root, ".h", under="include/farcall"):
        include = f"<{path[len('include/'):]}>"
        uv = PRIVATE if path.endswith("/uv.h") else []  # libuv's own header asks for POSIX
        yield path, "C11", include, [cc] + C11 + STRICT + uv + flags
        if cxx:
            yield path, "C++17", include, [cxx] + CXX17 + STRICT + flags
    for room in PRIVATE_ROOMS:
        for path in house.files(root, ".h", under=room):
            yield path, "C11", f'"{path}"', [cc] + C11 + STRICT + PRIVATE + flags + [f"-I{root}"]


def check(root, cc, cxx):
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        under_way = [(path, language, pool.submit(compile_alone, root, folder, path, include, command))
                     for path, language, include, command in jobs(root, cc, cxx)]
        for path, language, job in under_way:
            if job.result():
                yield path, 0, f"does not compile alone as {language}\n{job.result()}"


PLANTS = [
    ({"include/farcall/a.h": "size_t a(void);\n"}, "as C11"),
    ({"include/farcall/a.h": "int a(int class);\n"}, "as C++17"),
    ({"include/farcall/a.h": "struct a { int b; };\n"}, "as C11"),
    ({"include/farcall/a.h": "void a(void *p);\nstatic inline int *b(void *p) { return p; }\n"}, "as C++17"),
    ({"runtime/base/a.h": "extern uint8_t a;\n"}, "as C11"),
    ({"client/a.h": '#include "runtime/none.h"\n'}, "as C11"),
    ({"server/a.h": "enum { A, };\nextern int x[0];\n"}, "as C11"),
]
CLEAN = {"include/farcall/ok.h": "#ifndef OK\n#define OK\n#include <stddef.h>\nsize_t ok(void);\n#endif\n",
         "runtime/base/ok.h": "#include <farcall/ok.h>\nextern int ok_too(size_t n);\n"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    parser.add_argument("root", nargs="?", default=str(house.root_folder()))
    options = parser.parse_args()
    cxx = shutil.which(options.cxx)
    if not cxx:
        print(f"{options.cxx} is not installed: the C++ half is skipped")
        if os.environ.get("FARCALL_REQUIRE_PEERS"):
            return 1
    if options.self_test:
        plants = [p for p in PLANTS if cxx or "C++" not in p[1]]
        return house.self_test(lambda root: check(root, options.cc, cxx), plants, CLEAN)
    findings = list(check(options.root, options.cc, cxx))
    for path, _, text in findings:
        print(f"{path}: {text}")
    print(f"headers.py: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
