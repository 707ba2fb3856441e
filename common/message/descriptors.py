#!/usr/bin/python3
"""List every message type of the contract, for whoever looks one up by name, and for tests that walk them all.

    descriptors.py output.h header.pb-c.h...

protobuf-c keeps no list of its descriptors; the generated headers are read for them.
"""
import re
import sys

DESCRIPTOR = re.compile(r'^extern const ProtobufCMessageDescriptor (\w+);', re.M)


def main(output, headers):
    names = []
    for header in headers:
        with open(header, encoding='utf-8') as file:
            names += DESCRIPTOR.findall(file.read())
    lines = [f'#include "{header.split("/")[-1]}"' for header in headers]
    lines += ['', 'static const ProtobufCMessageDescriptor *const all_descriptors[] = {']
    lines += [f'    &{name},' for name in names]
    lines += ['};', '']
    with open(output, 'w', encoding='utf-8') as file:
        file.write('\n'.join(['#pragma once', ''] + lines))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
