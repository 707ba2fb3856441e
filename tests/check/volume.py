"""The independent check of a log too long for checker.py's memory: one pass over it, the same rules.

What was acknowledged stands exactly once; positions, versions and ids have no gap and no repeat; every leaf
and every recorded root is what RFC 9162 says; nothing is left unsent.
"""

import collections
import hashlib

import psycopg2

import checker
import contract


class Frontier:
    """The roots of the complete subtrees of a growing RFC 9162 tree, largest first."""
    def __init__(self):
        self.nodes = []  # (height, hash)

    def add(self, leaf):
        height, node = 0, leaf
        while self.nodes and self.nodes[-1][0] == height:
            node = parent(self.nodes.pop()[1], node)
            height += 1
        self.nodes.append((height, node))

    def root(self):
        if not self.nodes:
            return hashlib.sha256(b"").digest()
        node = self.nodes[-1][1]
        for _, left in reversed(self.nodes[:-1]):
            node = parent(left, node)
        return node


def parent(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def check(stack, commands=(), appended=()):
    """All faults, as sentences. Ids that were answered OK: of commands, each led to one event, or of Appends of one
    event each, made in the place of a service that does not run."""
    connection = psycopg2.connect(stack.cluster.url("postgres"))
    connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
    try:
        faults = [*log(connection, collections.Counter([*commands, *appended])), *checker.sanitizers(stack)]
        if not appended:
            faults += [*remembered(connection, set(commands)), *checker.nothing_left(connection)]
        return faults
    finally:
        connection.close()


def log(connection, acked):
    tree, last, ids, seen, position = Frontier(), {}, set(), {}, 0
    roots = dict(checker.rows(connection, "SELECT position, root FROM eventlog.root"))
    decode = contract.message("eventlog.v1.Event").FromString
    with connection.cursor("log") as cursor:
        cursor.itersize = 5000
        cursor.execute("SELECT position, bytes, leaf FROM eventlog.log ORDER BY position")
        for at, data, leaf in cursor:
            data, position = bytes(data), position + 1
            event, own = decode(data), checker.leaf_hash(data)
            if at != position:
                yield f"position {at} stands where {position} should"
                return
            if bytes(leaf) != own:
                yield f"position {at}: the stored leaf hash is not the hash of the stored bytes"
            if event.version != last.get(event.stream, 0) + 1:
                yield f"position {at}: stream {event.stream} goes from {last.get(event.stream, 0)} to {event.version}"
            if event.id in ids:
                yield f"position {at}: event {event.id} stands twice"
            last[event.stream] = event.version
            ids.add(event.id)
            if event.causation in acked:
                seen[event.causation] = seen.get(event.causation, 0) + 1
            tree.add(own)
            if at in roots and bytes(roots.pop(at)) != tree.root():
                yield f"the root recorded at position {at} is not the tree's"
    if roots:
        yield f"{len(roots)} roots are recorded at positions the log does not have"
    (head, root), = checker.rows(connection, "SELECT position, root FROM eventlog.head")
    if head != position or bytes(root) != tree.root():
        yield f"the head says {head} and the log holds {position}, or its root is another"
    lost = [id for id in acked if id not in seen]
    doubled = [id for id, count in seen.items() if count != 1]
    if lost:
        yield f"{len(lost)} of {len(acked)} acknowledged are not in the log, for example {lost[0]}"
    if doubled:
        yield f"{len(doubled)} of {len(acked)} acknowledged stand more than once, for example {doubled[0]}"


def remembered(connection, commands):
    """Every answer that was given is kept, so that whoever asks again gets it again."""
    kept = {
        id
        for id, in checker.rows(connection, "SELECT id::text FROM intake.loop_answered WHERE status = 1")
    }
    if not commands <= kept:
        yield f"{len(commands - kept)} acknowledged commands are not remembered"
