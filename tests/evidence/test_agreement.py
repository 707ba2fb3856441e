"""Our trees, proofs, checkpoints and cosignatures, and a verifier written from the public texts alone: do they agree?"""

import base64
import json
import os
import pathlib
import subprocess

import pytest

import verifier

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LARGE = ["65535", "65536", "65537", "70000", "131073", "262143"]


def trees(*sizes):
    tool = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "tests" / "evidence" / "evidence_trees"
    lines = subprocess.run([str(tool), *sizes], check=True, stdout=subprocess.PIPE).stdout.splitlines()
    keys = json.loads(lines[0])
    return verifier.Key(keys["log"]), verifier.Key(keys["witness"]), map(json.loads, lines[1:])


def hashes(texts):
    return [bytes.fromhex(text) for text in texts]


def leaf(i):
    return verifier.leaf_hash(f"entry {i}".encode())


class Roots:
    """Roots of our own, by the definition; large ones by halves that are powers of two."""

    def __init__(self):
        self.known = {}

    def subtree(self, begin, end):
        if (begin, end) not in self.known:
            if end - begin == 1:
                return leaf(begin)
            middle = begin + verifier.largest_power_below(end - begin)
            self.known[begin, end] = verifier.node_hash(self.subtree(begin, middle), self.subtree(middle, end))
        return self.known[begin, end]

    def root(self, size):
        return self.subtree(0, size)


def check(found, log, witness, roots):
    size, root = found["size"], bytes.fromhex(found["root"])
    assert root == roots.root(size)
    checkpoint = verifier.Checkpoint(base64.b64decode(found["checkpoint"]), log)
    assert (checkpoint.size, checkpoint.root) == (size, root)
    assert checkpoint.note.verify(witness) == 1_700_000_000 + size
    for index, path in found["inclusion"]:
        verifier.check_inclusion(leaf(index), index, size, hashes(path), root)
    for first, path in found["consistency"]:
        verifier.check_consistency(first, roots.root(first), size, root, hashes(path))


def test_both_agree_on_logs_of_every_size_to_300():
    log, witness, found = trees("1..300")
    roots = Roots()
    sizes = []
    for tree in found:
        check(tree, log, witness, roots)
        assert len(tree["inclusion"]) == len(tree["consistency"]) == tree["size"]
        sizes.append(tree["size"])
    assert sizes == list(range(1, 301))


def test_both_agree_on_large_logs():
    log, witness, found = trees(*LARGE)
    roots = Roots()
    for tree in found:
        check(tree, log, witness, roots)


# The examples that the texts print.


def test_the_verifier_knows_the_example_of_signed_notes():
    key = verifier.Key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    note = verifier.Note("This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppz"
                         "i2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n".encode())
    note.verify(key)


def test_the_verifier_knows_the_roots_of_rfc_6962():
    entries = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", bytes(range(0x50, 0x58)),
               bytes(range(0x60, 0x70))]
    leaves = [verifier.leaf_hash(entry) for entry in entries]
    assert verifier.tree_hash([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert verifier.tree_hash(leaves[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    assert verifier.tree_hash(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_the_verifier_refuses_what_does_not_fit():
    log, witness, found = trees("7")
    tree = next(found)
    root = bytes.fromhex(tree["root"])
    index, path = tree["inclusion"][3]
    path = hashes(path)
    for wrong in ([leaf(index), index, 7, path[:-1], root], [leaf(index), index, 7, path + [root], root],
                  [leaf(index + 1), index, 7, path, root], [leaf(index), 2, 7, path, root], [leaf(0), 7, 7, path, root]):
        with pytest.raises(verifier.Wrong):
            verifier.check_inclusion(*wrong)
    data = base64.b64decode(tree["checkpoint"])
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        with pytest.raises(verifier.Wrong):
            verifier.Checkpoint(changed, log).note.verify(witness)
