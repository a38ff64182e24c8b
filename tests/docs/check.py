#!/usr/bin/python3
"""check.py COMPILER INCLUDE... -- PAGE...: compiles every ```c block of the pages.

A block with its own includes is a whole file; another stands after tests/docs/preamble.h. With --self-test it
plants an error and expects to find it.
"""
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```c\n(.*?)^```$", re.S | re.M)
HERE = os.path.dirname(os.path.abspath(__file__))


def compile_block(compiler, includes, text):
    if "#include" not in text:
        text = f'#include "{HERE}/preamble.h"\n' + text
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "block.c")
        with open(path, "w") as file:
            file.write(text)
        command = [compiler, "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                   "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unused-const-variable"]
        command += [f"-I{folder}" for folder in includes] + [path]
        return subprocess.run(command, capture_output=True, text=True)


def main():
    arguments = sys.argv[1:]
    split = arguments.index("--")
    compiler, includes, pages = arguments[0], arguments[1:split], arguments[split + 1:]
    if compile_block(compiler, includes, "int main(void) { return farcall_no_such_thing(); }\n").returncode == 0:
        sys.exit("self-test: a planted error was not found")
    failed = count = 0
    for page in pages:
        with open(page) as file:
            text = file.read()
        for match in BLOCK.finditer(text):
            count += 1
            result = compile_block(compiler, includes, match.group(1))
            if result.returncode:
                failed += 1
                line = text[:match.start()].count("\n") + 1
                print(f"{page}:{line}: does not compile\n{result.stderr}")
    if not count:
        sys.exit("no block of C was found")
    print(f"{count} blocks, {failed} failed")
    sys.exit(failed != 0)


main()
