"""What the checks share: finding our files, reading C without comments, reporting, self-tests.

A check is a function of the tree's root that gives findings, each a (path, line, text). Run without
arguments it looks at the tree it stands in; with --self-test it plants breaches into a tree made for
that and fails if one of them is not found, or if a clean tree is blamed.
"""

import os
import pathlib
import re
import sys
import tempfile

SKIPPED_FOLDERS = {"build", ".git", "__pycache__"}


def root_folder():
    return pathlib.Path(__file__).resolve().parents[2]


def is_generated(path):
    """Output of protoc's plugins, wherever it stands."""
    name = os.path.basename(str(path))
    return ".pb-c." in name or ".farcall." in name or name.endswith("_pb2.py")


def files(root, *suffixes, under=""):
    """Our files, as paths relative to the root, sorted."""
    found = []
    for folder, folders, names in os.walk(os.path.join(root, under)):
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
        for name in names:
            if not suffixes or name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text, strings=True):
    """C with comments blanked, and the insides of strings too if asked; lines stay where they are."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        piece = match.group(0)
        if piece[0] == "/":
            return re.sub(r"[^\n]", " ", piece)
        return piece if not strings else piece[0] + " " * (len(piece) - 2) + piece[-1]

    return pattern.sub(blank, text)


def run(check, plants, clean=None):
    """The main function of a check. `plants`: [({path: text}, words the findings must hold)]."""
    if "--self-test" in sys.argv[1:]:
        sys.exit(self_test(check, plants, clean or {}))
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    findings = list(check(pathlib.Path(arguments[0]) if arguments else root_folder()))
    for path, line, text in findings:
        print(f"{path}:{line}: {text}" if line else f"{path}: {text}")
    name = os.path.basename(sys.argv[0])
    print(f"{name}: {len(findings)} finding{'s' if len(findings) != 1 else ''}")
    sys.exit(1 if findings else 0)


def make_tree(folder, tree):
    for path, text in tree.items():
        target = pathlib.Path(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def self_test(check, plants, clean):
    missed = 0
    for tree, words in [(clean, None)] + plants:
        with tempfile.TemporaryDirectory() as folder:
            make_tree(folder, {**clean, **tree})
            findings = [f"{p}:{n}: {t}" for p, n, t in check(pathlib.Path(folder))]
        if words is None and findings:
            print("a clean tree is blamed:", *findings, sep="\n  ")
            missed += 1
        elif words is not None and not any(words in f for f in findings):
            print(f"not found: {words!r} in {sorted(tree)}; findings: {findings}")
            missed += 1
    print(f"{len(plants)} breaches planted, {missed} mistakes")
    return 1 if missed else 0
