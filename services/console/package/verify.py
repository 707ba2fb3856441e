#!/usr/bin/env python3
"""Check an auditor's package by FORMAT.md. Only Python's own library; signatures also need python3-cryptography.

    python3 verify.py PACKAGE.tar [KEY [WITNESS]]

KEY is the log's public key (NAME+ID+BASE64), and WITNESS that of the log's witness, from elsewhere than the package: then
the checkpoint's signatures are checked.
Exit codes: 0 all agrees, 1 it cannot be read, 4 something does not agree.
"""

import base64
import csv
import datetime
import hashlib
import io
import json
import struct
import sys
import tarfile
import time

DOCUMENTS = {"intake.v1.ApplicationSubmitted": (8, 7), "allocation.v1.GrantLetterIssued": (3, 4),
             "allocation.v1.AllocationProposed": (3, 4), "reporting.v1.ReportPrepared": (6, 5)}
SKEW_US = 60_000_000  # by so much the clocks of several machines may differ


class Differs(Exception):
    pass


def fields(data):
    """The fields of a protobuf message: {number: [values]}; numbers and bytes only, as events have them."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise Differs("a message ends too early")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 2:
            size = varint()
            value = data[at:at + size]
            if len(value) != size:
                raise Differs("a message ends too early")
            at += size
        else:
            raise Differs(f"a field of kind {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def text(found, number):
    return found.get(number, [b""])[0].decode()


def when(us):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)).isoformat() + "Z"


class Tree:
    """RFC 9162 2.1.1, leaf by leaf: the roots of the perfect subtrees so far, largest first."""

    def __init__(self):
        self.size, self.hashes = 0, []

    def add(self, leaf):
        size = self.size
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + self.hashes.pop() + leaf).digest()
            size >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self):
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = hashlib.sha256(b"\x01" + left + root).digest()
        return root


class Check:
    def __init__(self):
        self.tree, self.sums, self.events = Tree(), [], {}
        self.versions, self.listed, self.documents = {}, {}, 0
        self.manifest = self.checkpoint = self.witness = self.begun_late = None
        self.rehearsed, self.newest = set(), (0, 0)  # the newest event: when it was made, and its position
        self.subjects, self.call_of = {}, {}  # subject and stream of each event; the call of each application drafted here

    # The members.

    def member(self, name, data):
        self.sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}")
        if name.startswith("log/") and name.endswith(".records"):
            self.records(name, data)
        elif name.startswith("timeline/") and name.endswith(".csv"):
            for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
                self.listed[int(row["position"])] = (row["type"], row["event id"])
        elif name == "log/checkpoint":
            self.checkpoint = data.decode()
        elif name == "log/witness":
            self.witness = data.decode()
        elif name == "manifest.json":
            self.manifest = json.loads(data)

    def records(self, name, data):
        at = 0
        while at < len(data):
            kind, position = data[at:at + 1], int.from_bytes(data[at + 1:at + 9], "big")
            if position != self.tree.size + 1:
                raise Differs(f"position {self.tree.size + 1}: missing; {name} goes on with {position}")
            at += 9
            if kind == b"E":
                _, _, size = struct.unpack(">QQI", data[at:at + 20])
                event = data[at + 20:at + 20 + size]
                if len(event) != size:
                    raise Differs(f"position {position}: {name} ends within it")
                at += 20 + size
                self.event(position, event)
                leaf = hashlib.sha256(b"\x00" + event).digest()
            elif kind == b"H":
                leaf = data[at:at + 32]
                at += 32
            else:
                raise Differs(f"position {position}: a record of kind {kind!r}")
            self.tree.add(leaf)

    def event(self, position, data):
        try:
            found = fields(data)
            stream, version, kind = text(found, 4), found.get(5, [0])[0], text(found, 3)
            self.events[position] = (kind, text(found, 1))
            self.subjects[position] = text(found, 6), stream
            self.rehearsed.add(bool(found.get(12, [0])[0]))
            self.newest = max(self.newest, (made_us(found), position))
            self.version(position, stream, version)
            if kind == "intake.v1.ApplicationDrafted":
                body = fields(found[13][0])
                self.call_of[text(body, 1)] = text(body, 2)
            if kind in DOCUMENTS:
                self.document(position, kind, fields(found[13][0]))
        except (Differs, KeyError, UnicodeDecodeError) as wrong:
            raise Differs(f"position {position}: {wrong}") from None

    def version(self, position, stream, version):
        before = self.versions.get(stream, 0)
        if version == 0 or before and version != before + 1:
            raise Differs(f"stream {stream} goes from version {before} to {version}")
        if not before and version > 1 and self.begun_late is None:
            self.begun_late = position
        self.versions[stream] = version

    def document(self, position, kind, body):
        document, digest = DOCUMENTS[kind]
        computed = hashlib.sha256(body.get(document, [b""])[0]).hexdigest()
        if computed != text(body, digest):
            raise Differs(f"its document has the hash {computed}, and it says {text(body, digest)}")
        self.documents += 1

    # The end.

    def end(self, sums, keys):
        if self.sums != sums.decode().splitlines():
            wrong = [line.split("  ", 1)[1] for line, said in zip(self.sums, sums.decode().splitlines())
                     if line != said]
            raise Differs(f"SHA256SUMS does not agree with {wrong[0] if wrong else 'the members there are'}")
        if self.manifest is None or self.manifest.get("format") != "tildel-audit-1":
            raise Differs("manifest.json is missing, or of another format")
        if (self.tree.size, self.tree.root().hex()) != (self.manifest["size"], self.manifest["root"]):
            raise Differs(f"the tree over {self.tree.size} leaves has the root {self.tree.root().hex()}; "
                          f"the manifest says {self.manifest['size']} and {self.manifest['root']}")
        if self.listed != self.events:
            wrong = sorted(set(self.listed.items()) ^ set(self.events.items()))
            raise Differs(f"position {wrong[0][0]}: the timeline and the log do not agree")
        for found, said in ((len(self.events), "selected"), (self.documents, "documents")):
            if found != self.manifest[said]:
                raise Differs(f"the manifest says {said} {self.manifest[said]}, and {found} are here")
        if self.rehearsed - {self.manifest["rehearsal"]}:
            raise Differs("the manifest and an event do not agree on whether this is a rehearsal")
        self.selected(*(self.manifest[name] for name in ("first", "last", "call", "case")))
        self.made_at(self.manifest["made_at_us"])
        return self.signatures(keys)

    def selected(self, first, last, call, case):
        if not 1 <= first <= last <= self.manifest["size"]:
            raise Differs(f"the manifest says the positions {first}..{last} of {self.manifest['size']}, which are none")
        for position in self.events:
            if not first <= position <= last:
                raise Differs(f"position {position}: an event is here that is not of the positions which the manifest says")
        if call and case:
            raise Differs("the manifest says both a call and a case, and a case is of one call")
        if not call and not case and len(self.events) != last - first + 1:
            raise Differs(f"the manifest says that all events at {first}..{last} are here, and {len(self.events)} of them are")
        if not self.events:
            raise Differs("no event is here of what the manifest says was selected")
        if first == 1 and self.begun_late:
            raise Differs(f"position {self.begun_late}: events that came before this one in its stream are missing")
        for position, (subject, stream) in self.subjects.items():
            if call and not self.of_call(subject, call, first) or case and not self.of_case(subject, stream, case):
                raise Differs(f"position {position}: this event is not of the {'call' if call else 'case'} {call or case}, "
                              "which the manifest says it was selected by")

    def of_call(self, subject, call, first):
        # Where the package begins later, so may have the application: then nothing tells of which call it is.
        return subject == call or self.call_of.get(subject, "" if first == 1 else call) == call

    def of_case(self, subject, stream, case):
        if subject == case:
            return True
        call = stream[len("intake/call/"):]
        return stream == f"intake/call/{call}" and self.call_of.setdefault(case, call) == call

    def made_at(self, made):
        newest, position = self.newest
        if made < newest - SKEW_US:
            raise Differs(f"position {position}: this event was made at {when(newest)}, after the package (made_at_us {made})")
        cosigned = self.cosigned_at_us()
        if made < cosigned - SKEW_US:
            raise Differs(f"its checkpoint was cosigned at {when(cosigned)}, after the package was made (made_at_us {made})")
        now = time.time_ns() // 1000
        if not 0 < made <= now + SKEW_US:
            raise Differs(f"made_at_us {made} is no instant up to now, which is {when(now)} here")

    def cosigned_at_us(self):
        """What the line of log/witness in the checkpoint says, signed or not; 0 where there is none."""
        name, number = (self.witness or "+").split("+")[:2]
        for line in (self.checkpoint or "").splitlines():
            words = line.split(" ")
            raw = base64.b64decode(words[2]) if len(words) == 3 and words[1] == name else b""
            if raw[:4].hex() == number:
                return int.from_bytes(raw[4:12], "big") * 1_000_000
        return 0

    def signatures(self, keys):
        if self.checkpoint is None:
            return "the log's root is not signed in this package"
        body, _, signatures = self.checkpoint.partition("\n\n")
        origin, size, root = body.split("\n")[:3]
        if (int(size), base64.b64decode(root)) != (self.tree.size, self.tree.root()):
            raise Differs(f"the checkpoint says size {size} and root {base64.b64decode(root).hex()}")
        if not keys:
            return f"the checkpoint of {origin} at size {size} agrees; give its key to check the signature"
        return "; ".join(signed_by(key, body + "\n", signatures, size) for key in keys)


def made_us(event):
    """When it was made: in the millisecond of its id, a UUIDv7, and at its instant unless that is a rehearsal's."""
    name, instant, rehearsal = text(event, 1), event.get(7, [0])[0], event.get(12, [0])[0]
    by_id = int(name[:8] + name[9:13], 16) * 1000 if name[14:15] == "7" else 0
    return by_id if rehearsal or instant >= 1 << 63 else max(by_id, instant)


def signed_by(key, body, signatures, size):
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return "the signature needs python3-cryptography"
    name, _, rest = key.partition("+")
    number, _, encoded = rest.partition("+")
    kind, public = base64.b64decode(encoded)[0], base64.b64decode(encoded)[1:]
    for line in signatures.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[1] == name:
            raw = base64.b64decode(words[2])
            if raw[:4].hex() != number:
                continue
            signature, what, word = raw[4:], body, "signed"
            if kind == 4:  # the cosignature of a witness: over an instant, too
                instant, signature = int.from_bytes(raw[4:12], "big"), raw[12:]
                what, word = f"cosignature/v1\ntime {instant}\n{body}", "cosigned"
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, what.encode())
                return f"the checkpoint at size {size} is {word} by {name}"
            except InvalidSignature:
                raise Differs(f"the checkpoint's signature by {name} does not verify") from None
    raise Differs(f"the checkpoint is not signed by {name}")


def check(path, keys):
    found, sums, names = Check(), None, set()
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if sums is not None:
                raise Differs(f"{member.name} comes after SHA256SUMS")
            if member.name in names:
                raise Differs(f"{member.name} is here twice")
            names.add(member.name)
            data = archive.extractfile(member).read()
            if member.name == "SHA256SUMS":
                sums = data
            else:
                found.member(member.name, data)
    if sums is None:
        raise Differs("SHA256SUMS is missing: the package was not finished")
    said = found.end(sums, keys)
    return (f"verified: {found.tree.size} positions, {len(found.events)} of them here, {found.documents} documents, "
            f"root {found.tree.root().hex()}; {said}")


def main(words):
    if len(words) not in (2, 3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(check(words[1], [word.strip() for word in words[2:]]))
        return 0
    except Differs as differs:
        print(f"{words[1]}: {differs}", file=sys.stderr)
        return 4
    except (OSError, tarfile.TarError, ValueError, KeyError, AttributeError, TypeError, IndexError, OverflowError,
            struct.error) as fault:
        print(f"{words[1]} cannot be read: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
