#!/usr/bin/python3
"""Files as C arrays: embed_text.py output.h name=file ..."""
import pathlib
import sys

with open(sys.argv[1], "w") as out:
    out.write("// Made by embed_text.py.\n#pragma once\n")
    for pair in sys.argv[2:]:
        name, _, path = pair.partition("=")
        data = pathlib.Path(path).read_bytes()
        out.write(f"static const unsigned char {name}[] = {{{','.join(map(str, data))}}};\n")
