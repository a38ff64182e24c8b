#!/usr/bin/python3
"""size.py LIBRARY MOST: the text of a shared library, in bytes by `size`, is at most MOST. --self-test."""
import subprocess
import sys


def text_of(library):
    output = subprocess.run(["size", library], capture_output=True, text=True, check=True).stdout
    return int(output.splitlines()[1].split()[0])


def main():
    if sys.argv[1] == "--self-test":
        library = sys.argv[2]
        text = text_of(library)
        for most, expected in ((text, 0), (text - 1, 1)):
            result = subprocess.run([sys.executable, __file__, library, str(most)], capture_output=True)
            if result.returncode != expected:
                sys.exit(f"size.py: {text} bytes against {most}: exit {result.returncode}, expected {expected}")
        return
    library, most = sys.argv[1], int(sys.argv[2])
    text = text_of(library)
    print(f"size.py: {text} bytes of text, at most {most}")
    sys.exit(text > most)


main()
