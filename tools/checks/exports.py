#!/usr/bin/python3
"""What the built libraries show to the linker: farcall_ and nothing else in the shared one, farcall_ and
fc_ in the static one.

    exports.py LIBRARY...          names ending in .a are static
    exports.py --self-test CC      builds libraries with a breach in them
"""

import os
import re
import subprocess
import sys
import tempfile

# What compilers, linkers and sanitizers add by themselves.
OTHERS = r"^(_init|_fini|__bss_start|_edata|_end|__odr_asan.*|__asan_.*|__tsan_.*|__ubsan_.*|__gcov.*|asan\.module_.*|__sancov.*|__start___.*|__stop___.*)$"


def names(library):
    static = library.endswith(".a")
    output = subprocess.run(["nm", "-g" if static else "-D", "--defined-only", library],
                            check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 3 and not re.match(OTHERS, fields[2]):
            yield fields[2].split("@")[0]


def check(library):
    allowed = ("farcall_", "fc_") if library.endswith(".a") else ("farcall_",)
    found = sorted(set(names(library)))
    wrong = [name for name in found if not name.startswith(allowed)]
    if not any(name.startswith("farcall_") for name in found):
        wrong.append("(no farcall_ name at all: is this the library?)")
    return wrong


def self_test(compiler):
    source = "int farcall_ok(void) { return 0; }\n%s\n"
    cases = [("", [], []), ("int fc_inside;", ["fc_inside"], []), ("int other;", ["other"], ["other"]),
             ("static int hidden; int *farcall_p = &hidden;", [], [])]
    mistakes = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x")
        for text, in_shared, in_static in cases:
            with open(path + ".c", "w", encoding="utf-8") as file:
                file.write(source % text)
            subprocess.run([compiler, "-fPIC", "-c", "-o", path + ".o", path + ".c"], check=True)
            subprocess.run([compiler, "-shared", "-o", path + ".so", path + ".o"], check=True)
            subprocess.run(["ar", "rcs", path + ".a", path + ".o"], check=True)
            for library, expected in ((path + ".so", in_shared), (path + ".a", in_static)):
                if check(library) != expected:
                    print(f"{library}: {check(library)}, not {expected}, for {text!r}")
                    mistakes += 1
            os.remove(path + ".a")
    print(f"{2 * len(cases)} libraries judged, {mistakes} mistakes")
    return 1 if mistakes else 0


def main():
    if sys.argv[1:2] == ["--self-test"]:
        return self_test(sys.argv[2] if len(sys.argv) > 2 else "cc")
    wrong = 0
    for library in sys.argv[1:]:
        for name in check(library):
            print(f"{os.path.basename(library)}: {name}")
            wrong += 1
    print(f"exports.py: {wrong} findings")
    return 1 if wrong or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
