#!/usr/bin/python3
"""The house's words: what must not stand in the tree.

Everywhere: notes to self, absolute paths of somebody's machine, addresses of private registries,
conflict markers, carriage returns, white space at a line's end. In C: what another compiler would
refuse, and in the rooms of the library what goes around their doors (memory, time, chance).
"""

import re

import house

# Written so that this file does not blame itself.
ANYWHERE = [
    (r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", "a note to self"),
    (r"(?<![\w.$}>)-])/(home|root|Users|work|mnt)/\w", "an absolute path of a machine"),
    (r"https?://[^\s/]*(artifactory|nexus|devpi|verdaccio|\.internal\b|\.corp\b|\.local\b)", "a private registry"),
    (r"^(<{7} |>{7} |={7}$)", "a conflict marker"),
    (r"\r", "a carriage return"),
    (r"[ \t]+$", "white space at the end of the line"),
]
IN_C = [
    (r"__attribute__|__builtin_\w|__extension__|\b__?typeof(__)?\b|\b__(int128|thread)\b",
     "an extension of a compiler; include/farcall/api.h is the place for it"),
    (r"\(\s*\{", "a statement expression"),
    (r"\balloca\s*\(", "memory on the stack of no known size"),
]
IN_LIBRARY = [
    (r"(?<![\w.>])(malloc|calloc|realloc|free|strdup|strndup|asprintf|aligned_alloc)\s*\(",
     "memory goes through runtime/base/alloc.h"),
    (r"(?<![\w.>])(sprintf|strcpy|strcat|gets|strtok|vsprintf)\s*\(", "writes without a bound"),
]
IN_PROTOCOL = [
    (r"(?<![\w.>])(time|clock|clock_gettime|gettimeofday|rand|random|srand|getrandom|getenv|socket)\s*\(",
     "the engine gets time and chance handed in"),
    (r"(?<![\w.>])(uv_\w+|pthread_\w+)\s*\(", "the engine touches no loop and no thread"),
]
ON_PURPOSE = ("idl/google/", "tests/golden/", "tests/fuzz/corpus/")  # others' files, and files made to be odd
LIBRARY = ("runtime/", "server/", "client/")
TEXT = (".c", ".h", ".py", ".sh", ".cmake", ".txt", ".md", ".proto", ".json", ".yml", ".in")
SPECIAL = ("scripts/", ".ci/", "tools/", "tests/")


def rules_for(path):
    rules = list(ANYWHERE)
    if path.endswith(".md"):
        rules = rules[:-1]  # two spaces break a line there
    return rules


def c_rules_for(path):
    rules = [] if path == "include/farcall/api.h" else list(IN_C)
    if path.startswith(LIBRARY) and path != "runtime/base/alloc.c":
        rules += IN_LIBRARY
    if path.startswith("runtime/protocol/"):
        rules += IN_PROTOCOL
    return rules


def is_text(path):
    name = path.rsplit("/", 1)[-1]
    return path.endswith(TEXT) or "." not in name and path.startswith(SPECIAL)


def search(path, text, rules):
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, why in rules:
            if re.search(pattern, line):
                yield path, number, why


def check(root):
    for path in house.files(root):
        if house.is_generated(path) or not is_text(path) or path.startswith(ON_PURPOSE):
            continue
        text = open(root / path, encoding="utf-8", errors="replace", newline="").read()
        yield from search(path, text, rules_for(path))
        if path.endswith((".c", ".h")):
            yield from search(path, house.without_comments(text), c_rules_for(path))


PLANTS = [
    ({"runtime/a.c": "/* TO" "DO: later */\n"}, "a note to self"),
    ({"docs/a.md": "see FIX" "ME\n"}, "a note to self"),
    ({"docs/a.md": "cd /ho" "me/me/src\n"}, "an absolute path"),
    ({"scripts/test": "cd '/wo" "rk/x'\n"}, "an absolute path"),
    ({"cmake/a.cmake": "http://nexu" "s.example/x\n"}, "a private registry"),
    ({"server/a.c": "<" "<<<<<< HEAD\n"}, "a conflict marker"),
    ({"server/a.c": "int a;\r\n"}, "a carriage return"),
    ({"server/a.c": "int a; \n"}, "white space"),
    ({"tests/a.c": "int a __attribute__((unused));\n"}, "an extension"),
    ({"tests/a.c": "int a = ({ 1; });\n"}, "a statement expression"),
    ({"runtime/a.c": "void *p = malloc(1);\n"}, "memory goes through"),
    ({"client/a.c": "\tfree(p);\n"}, "memory goes through"),
    ({"client/a.c": "\tstrcpy(p, q);\n"}, "without a bound"),
    ({"runtime/protocol/a.c": "\tnow = time(NULL);\n"}, "time and chance"),
    ({"runtime/protocol/h2/a.c": "\tuv_hrtime();\n"}, "no loop and no thread"),
]
CLEAN = {
    "runtime/ok.c": '/* malloc() is not called; see time() */\nint x = y->free(z);\nchar *s = "malloc(1)";\n',
    "tests/ok.c": "void *p = malloc(1);\n",
    "docs/ok.md": "build/home/x and https://example.org/home/x\ntwo spaces  \n",
}

if __name__ == "__main__":
    house.run(check, PLANTS, CLEAN)
