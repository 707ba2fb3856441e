#!/usr/bin/python3
"""Turn deploy/settings into the C table behind env/settings.h.

    embed_settings.py deploy/settings output.c

A line of the source is NAME | read by | kind | when not set | meaning | example; its head says what each means. Comments
(#) and blank lines are left out. The output defines settings[] and setting_readers[].
"""
import re
import sys

COLUMNS = ('name', 'read by', 'kind', 'when not set', 'meaning', 'example')
READERS = ('broker', 'eventlog', 'witness', 'services', 'connector', 'console', 'keys', 'migrate', 'postgres', 'compose',
           'swarm', 'deploy')
KINDS = ('name', 'tag', 'image', 'text', 'switch', 'port', 'number', 'memory', 'cpus', 'place', 'folder', 'files', 'account',
         'bic', 'calendar', 'any', 'address', 'listen', 'url', 'file', 'instant')
MUST = 'must be set'


class Fault(Exception):
    """A sentence for whoever wrote the settings, with the line it is about."""


def one_of(number, what, word, known):
    if word not in known:
        raise Fault(number, f'{what} "{word}" is not known; known are {", ".join(known)}')


def check(number, row, seen):
    name = row['name']
    readers = row['read by'].split(' ')
    if not re.fullmatch(r'[A-Z][A-Z0-9_]*', name):
        raise Fault(number, f'the name "{name}" is not capital letters, digits and _, beginning with a letter')
    if name in seen:
        raise Fault(number, f'{name} stands here a second time, first in line {seen[name]}')
    for reader in readers:
        one_of(number, 'the reader', reader, READERS)
    if len(set(readers)) != len(readers):
        raise Fault(number, f'a reader of {name} is named twice')
    one_of(number, 'the kind', row['kind'], KINDS)
    if not row['meaning']:
        raise Fault(number, f'{name} has no meaning; say what it is for')
    if 'compose' in readers and row['when not set'] != MUST and not re.fullmatch(r'[\w./:-]*', row['when not set']):
        raise Fault(number, f'what holds when {name} is not set is written into .env, and "{row["when not set"]}" is no value')


def read(text):
    rows, seen = [], {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        fields = [field.strip() for field in line.split('|')]
        if len(fields) != len(COLUMNS):
            raise Fault(number, f'{len(fields)} columns instead of {len(COLUMNS)}: {" | ".join(COLUMNS)}')
        row = dict(zip(COLUMNS, fields))
        check(number, row, seen)
        seen[row['name']] = number
        rows.append(row)
    return rows


def literal(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def table(rows):
    out = ['// Made from deploy/settings by embed_settings.py. Do not edit.', '#include "env/settings.h"', '', '#include <stddef.h>',
           '', 'const struct setting settings[] = {']
    for row in rows:
        otherwise = 'NULL' if row['when not set'] == MUST else literal(row['when not set'])
        out += [f'    {{{literal(row["name"])}, {literal(row["read by"])}, {otherwise},',
                f'     {literal(row["meaning"])}, {literal(row["example"])}}},']
    out += ['    {NULL, NULL, NULL, NULL, NULL},', '};', '', 'const char *const setting_readers[] = {']
    out += [f'    {literal(reader)},' for reader in READERS]
    out += ['    NULL,', '};', '']
    return '\n'.join(out)


def main(source, output):
    with open(source, encoding='utf-8') as file:
        text = file.read()
    try:
        made = table(read(text))
    except Fault as fault:
        number, sentence = fault.args
        sys.exit(f'{source}:{number}: {sentence}')
    with open(output, 'w', encoding='utf-8') as file:
        file.write(made)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
