#!/usr/bin/python3
"""Functions of more than 80 lines and files of more than 700 fail; generated code is excused.

A function is what stands between a brace alone in the first column and the next closing one, which
is how .clang-format writes them; both braces count.
"""

import house

MOST_IN_FUNCTION = 80
MOST_IN_FILE = 700


def functions(lines):
    """(line of the opening brace, lines) of each function."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def check(root):
    for path in house.files(root, ".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt"):
        if house.is_generated(path):
            continue
        lines = house.read(root, path).splitlines()
        if len(lines) > MOST_IN_FILE:
            yield path, 0, f"{len(lines)} lines, more than {MOST_IN_FILE}"
        if not path.endswith((".c", ".h")):
            continue
        for start, length in functions(lines):
            if length > MOST_IN_FUNCTION:
                yield path, start, f"a function of {length} lines, more than {MOST_IN_FUNCTION}"


def function(lines):
    return "int\nf(void)\n{\n" + "\t;\n" * (lines - 2) + "}\n"


PLANTS = [
    ({"a.c": function(81)}, "a function of 81 lines"),
    ({"a.h": function(80) + function(200)}, "a function of 200 lines"),
    ({"a.c": "\n" * 701}, "701 lines"),
    ({"deep/er/a.py": "\n" * 701}, "701 lines"),
]
CLEAN = {"ok.c": function(80) + "\n" * 618, "demo.pb-c.c": "\n" * 9000, "ok.py": "x = 1\n" * 700}

if __name__ == "__main__":
    house.run(check, PLANTS, CLEAN)
