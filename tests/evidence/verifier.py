"""A verifier of transparency logs, written from RFC 9162 and the C2SP texts alone. It shares no code with the house.

    c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature, c2sp.org/tlog-tiles,
    c2sp.org/tlog-proof, RFC 9162 sections 2.1.1 to 2.1.4

Everything that is wrong raises Wrong with a sentence. Ed25519 is libsodium's, by way of PyNaCl.

    verifier.py receipt FILE LOG.PUB      checks the proof of a receipt
"""

import base64
import binascii
import hashlib
import struct
import sys

import nacl.exceptions
import nacl.signing


class Wrong(Exception):
    """What is wrong, in one sentence."""


# ------------------------------------------------------------------------------------------ RFC 9162 2.1


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(entry):
    return sha256(b"\x00", entry)


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_hash(leaves):
    """MTH over leaf hashes, as 2.1.1 defines it."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return node_hash(tree_hash(leaves[:k]), tree_hash(leaves[k:]))


def check_inclusion(leaf, index, size, path, root):
    """2.1.3.2."""
    if index >= size:
        raise Wrong(f"index {index} is not in a tree of {size}")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise Wrong("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            if not fn & 1:
                while fn and not fn & 1:
                    fn >>= 1
                    sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    if sn != 0:
        raise Wrong("the inclusion proof is too short")
    if r != root:
        raise Wrong("the inclusion proof does not lead to the root")


def check_consistency(first, first_root, second, second_root, path):
    """2.1.4.2."""
    if first == second:
        if path or first_root != second_root:
            raise Wrong("trees of the same size differ")
        return
    if not 0 < first < second:
        raise Wrong("sizes of a consistency proof must rise")
    if not path:
        raise Wrong("the consistency proof is empty")
    if first & (first - 1) == 0:
        path = [first_root] + list(path)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Wrong("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            if not fn & 1:
                while fn and not fn & 1:
                    fn >>= 1
                    sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    if sn != 0 or fr != first_root or sr != second_root:
        raise Wrong("the consistency proof does not lead from one root to the other")


# ------------------------------------------------------------------------------------------ signed notes


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong(f"'{text}' is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Wrong(f"'{text}' is not canonical base64")
    return data


class Key:
    """A verifier key: name+hex id+base64(type || key)."""

    def __init__(self, text):
        try:
            self.name, id, material = text.strip().split("+", 2)
        except ValueError:
            raise Wrong("a key has three parts") from None
        data = unbase64(material)
        self.type, self.bytes = data[0], data[1:]
        self.id = bytes.fromhex(id)
        if self.type not in (1, 4) or len(self.bytes) != 32:
            raise Wrong("the key is not Ed25519")
        if sha256(self.name.encode(), b"\n", bytes([self.type]), self.bytes)[:4] != self.id:
            raise Wrong("the key's id is not its own")

    def verify(self, text, signature):
        """The instant of a cosignature, else None."""
        at = None
        if self.type == 4:
            at, = struct.unpack(">Q", signature[:8])
            signature = signature[8:]
            text = f"cosignature/v1\ntime {at}\n".encode() + text
        try:
            nacl.signing.VerifyKey(self.bytes).verify(text, signature)
        except (nacl.exceptions.BadSignatureError, ValueError, nacl.exceptions.ValueError):
            raise Wrong(f"the signature of {self.name} does not verify") from None
        return at


class Note:
    def __init__(self, data):
        if any(byte < 0x20 and byte != 0x0A for byte in data):
            raise Wrong("a note has control characters")
        try:
            data.decode()
        except UnicodeDecodeError:
            raise Wrong("a note is not UTF-8") from None
        text, gap, signatures = data.rpartition(b"\n\n")
        if not gap or not signatures.endswith(b"\n"):
            raise Wrong("a note has a text, an empty line and signatures")
        self.text = text + b"\n"
        self.signatures = []
        for line in signatures.decode()[:-1].split("\n"):
            words = line.split(" ")
            if len(words) != 3 or words[0] != "\u2014" or not words[1] or "+" in words[1]:
                raise Wrong(f"'{line}' is no signature")
            data = unbase64(words[2])
            if len(data) < 5:
                raise Wrong("a signature is too short")
            self.signatures.append((words[1], data[:4], data[4:]))

    def verify(self, key):
        """Raises unless the key has signed. The instant of a cosignature, else None."""
        found = [data for name, id, data in self.signatures if name == key.name and id == key.id]
        if not found:
            raise Wrong(f"{key.name} has not signed")
        return [key.verify(self.text, data) for data in found][-1]


class Checkpoint:
    def __init__(self, data, log):
        self.note = Note(data)
        self.note.verify(log)
        lines = self.note.text.decode().split("\n")
        if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
            raise Wrong("a checkpoint has three lines that are not empty")
        self.origin, size, root = lines[:3]
        if self.origin != log.name:
            raise Wrong(f"a checkpoint of {self.origin}, not of {log.name}")
        if not size.isascii() or not size.isdigit() or str(int(size)) != size:
            raise Wrong(f"'{size}' is no size")
        self.size, self.root = int(size), unbase64(root)
        if len(self.root) != 32:
            raise Wrong("a root has 32 bytes")


# ------------------------------------------------------------------------------------------------ tiles


def tile_widths(size):
    """Every tile of a tree: (level, index, width), by c2sp.org/tlog-tiles."""
    level = 0
    while size >> 8 * level:
        hashes = size >> 8 * level
        for index in range((hashes + 255) // 256):
            yield level, index, min(256, hashes - 256 * index)
        level += 1


def check_tiles(size, root, tile, bundle):
    """All tiles and bundles of a tree, given by tile(level, index, width) and bundle(index, width) -> bytes or None."""
    levels = {}
    for level, index, width in tile_widths(size):
        data = tile(level, index, width)
        if len(data) != 32 * width:
            raise Wrong(f"tile {index} of level {level} has {len(data)} bytes, not {32 * width}")
        levels.setdefault(level, []).extend(data[at:at + 32] for at in range(0, len(data), 32))
    if tree_hash(levels[0]) != root:
        raise Wrong("the tiles of level 0 do not have the root")
    for level in range(1, max(levels) + 1):
        for n, found in enumerate(levels[level]):
            if tree_hash(levels[level - 1][256 * n:256 * n + 256]) != found:
                raise Wrong(f"hash {n} of level {level} is not that of the tile below")
    for index in range((size + 255) // 256):
        width = min(256, size - 256 * index)
        entries = read_bundle(bundle(index, width))
        if [leaf_hash(entry) for entry in entries] != levels[0][256 * index:256 * index + width]:
            raise Wrong(f"the bundle {index} does not have the leaves of its tile")


def read_bundle(data):
    entries = []
    while data:
        size, = struct.unpack(">H", data[:2])
        if len(data) < 2 + size:
            raise Wrong("a bundle ends in the middle of an entry")
        entries.append(data[2:2 + size])
        data = data[2 + size:]
    return entries


# ----------------------------------------------------------------------------------------------- proofs


class Proof:
    """A c2sp.org/tlog-proof whose extra data is the entry."""

    def __init__(self, data, log):
        head, gap, checkpoint = data.partition(b"\n\n")
        lines = head.decode().split("\n")
        if not gap or lines[0] != "c2sp.org/tlog-proof@v1":
            raise Wrong("not a tlog-proof")
        if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
            raise Wrong("a proof has lines 'extra' and 'index'")
        self.entry = unbase64(lines[1][6:])
        self.index = int(lines[2][6:])
        self.checkpoint = Checkpoint(checkpoint, log)
        check_inclusion(leaf_hash(self.entry), self.index, self.checkpoint.size,
                        [unbase64(line) for line in lines[3:]], self.checkpoint.root)


class Receipt:
    """The lines for people, then, after the first empty line, a proof."""

    def __init__(self, data, log):
        head, _, proof = data.partition(b"\n\n")
        self.lines = head.decode().split("\n")
        self.proof = Proof(proof, log)
        said = dict(line.split(" ", 1) for line in self.lines[1:] if not line.startswith("witness"))
        if int(said["position"]) != self.proof.index + 1 or unbase64(said["leaf"]) != leaf_hash(self.proof.entry):
            raise Wrong("the lines for people say something else than the proof")
        self.application = said["application"]
        self.document = said["document"].removeprefix("sha256 ")
        for word in (self.application, self.document):
            if word.encode() not in self.proof.entry:
                raise Wrong(f"the entry does not say {word}")
        self.witnesses = [Key(line.split(" ", 1)[1]) for line in self.lines if line.startswith("witness ")]
        self.witnessed = [self.proof.checkpoint.note.verify(witness) for witness in self.witnesses]


def main(words):
    if len(words) != 3 or words[0] != "receipt":
        print(__doc__, file=sys.stderr)
        return 2
    with open(words[1], "rb") as receipt, open(words[2], encoding="ascii") as key:
        try:
            found = Receipt(receipt.read(), Key(key.readline()))
        except Wrong as wrong:
            print(f"verifier: {words[1]}: {wrong}", file=sys.stderr)
            return 4
    print(f"{found.application}: document {found.document} at position {found.proof.index + 1} of "
          f"{found.proof.checkpoint.size}, {len(found.witnesses)} witnesses")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
