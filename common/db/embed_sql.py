#!/usr/bin/python3
"""Turn a store.sql into a C header.

    embed_sql.py store.sql NAME output.h

A store.sql is blocks. A line `-- schema: N what` begins step N of the schema (1, 2, 3 ...), after which programs that
know step N - 1 still run, or step K when the line ends in `(programs from K)`; a line `-- name: x`
begins the prepared statement sql_x, of at most 55 characters; `-- name: x (many)`, `(steady)` and `(copy)` make it one
of those kinds (db.h). Comment lines right above such a line belong to it.
The header holds migrations_NAME[], ended by {0, NULL, 0}; one sql_x for each statement; and sql_NAME_all[], ended by
NULL.
"""
import re
import sys

KIND = re.compile(r' \((many|steady|copy)\)$')
MARK = re.compile(r'^--\s*(schema|name):\s*(.*?)\s*$')
# What may hold a $ that is no parameter: comments, quoted text and identifiers, dollar-quoted text.
NOT_PARAMETERS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$", re.S)


class Fault(Exception):
    """A sentence for whoever wrote the store.sql, with the line it is about."""


def is_comment(line):
    return not line.strip() or line.lstrip().startswith('--')


def trim(lines):
    """A block without the blank lines and comments at its end: those belong to the next block's marker."""
    while lines and is_comment(lines[-1]):
        lines.pop()
    return lines


def blocks(text):
    """Yield (line number, kind, argument, lines) for each block."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        mark = MARK.match(line)
        if mark:
            found.append((number, mark.group(1), mark.group(2), []))
        elif found:
            found[-1][3].append(line)
        elif not is_comment(line):
            raise Fault(number, 'text before the first block: begin with "-- schema: 1 what" or "-- name: x"')
    for number, kind, argument, lines in found:
        if not trim(lines):
            raise Fault(number, f'the block "{kind}: {argument}" is empty')
        yield number, kind, argument, lines


def check_step(number, argument, steps):
    first = argument.split(' ')[0]
    if first != str(len(steps) + 1):
        raise Fault(number, f'schema step "{first}" should be {len(steps) + 1}: steps are numbered without gaps')


def oldest_program(number, argument, step):
    """The last step a program must know to run after this one: the one before, unless the line says otherwise."""
    if 'programs' not in argument:
        return step - 1
    said = re.search(r' \(programs from (\d+)\)$', argument)
    if not said or not 0 <= int(said.group(1)) <= step:
        raise Fault(number, f'"{argument}" should end in "(programs from K)", K a number from 0 to {step}')
    return int(said.group(1))


def check_name(number, argument, statements):
    if not re.fullmatch(r'[a-z][a-z0-9_]{0,54}', argument):
        raise Fault(number, f'the name "{argument}" is not 1 to 55 of a-z, 0-9 and _, beginning with a letter')
    if argument in statements:
        raise Fault(number, f'the name "{argument}" is used a second time')


def check_copy(number, name, lines):
    """It goes into COPY (...), with whole numbers for $1 to $9."""
    lines[-1] = lines[-1].rstrip().rstrip(';')
    if parameters(lines) > 9 or len(re.findall(r'\$', '\n'.join(lines))) > len(bare_parameters(lines)):
        raise Fault(number, f'"{name}" goes out in a COPY: it may have $1 to $9, and no other $')


def read(text):
    steps, statements = [], {}
    for number, block, argument, lines in blocks(text):
        if block == 'schema':
            check_step(number, argument, steps)
            steps.append((lines, oldest_program(number, argument, len(steps) + 1)))
        else:
            kind = KIND.search(argument)
            name = KIND.sub('', argument)
            check_name(number, name, statements)
            statements[name] = (lines, kind.group(1) if kind else None)
            if statements[name][1] == 'copy':
                check_copy(number, name, lines)
    return steps, statements


def bare_parameters(lines):
    bare = NOT_PARAMETERS.sub(' ', '\n'.join(lines))
    return [int(number) for number in re.findall(r'\$(\d+)', bare)]


def parameters(lines):
    return max(bare_parameters(lines), default=0)


def literal(lines):
    escaped = (line.replace('\\', '\\\\').replace('"', '\\"').replace('\t', '\\t') for line in lines)
    return '\n'.join(f'        "{line}\\n"' for line in escaped)


def header(source, name, steps, statements):
    unused = '__attribute__((unused))'
    out = [f'// Made from {source} by embed_sql.py. Do not edit.', '#pragma once', '', '#include "db/db.h"', '']
    out.append(f'static const struct migration migrations_{name}[] {unused} = {{')
    out += [f'    {{{number},\n{literal(lines)},\n     {oldest}}},' for number, (lines, oldest) in enumerate(steps, 1)]
    out += ['    {0, NULL, 0},', '};', '']
    for statement, (lines, kind) in statements.items():
        out.append(f'static const struct sql sql_{statement} {unused} = {{')
        of = f', .{kind} = true' if kind else ''
        out += [f'    .name = "{statement}", .params = {parameters(lines)}{of}, .text =', literal(lines) + '};', '']
    out.append(f'static const struct sql *const sql_{name}_all[] {unused} = {{')
    out += [f'    &sql_{statement},' for statement in statements]
    out += ['    NULL,', '};', '']
    return '\n'.join(out)


def main(source, name, output):
    with open(source, encoding='utf-8') as file:
        text = file.read()
    try:
        made = header(source.split('/')[-1], name, *read(text))
    except Fault as fault:
        number, sentence = fault.args
        sys.exit(f'{source}:{number}: {sentence}')
    with open(output, 'w', encoding='utf-8') as file:
        file.write(made)


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
