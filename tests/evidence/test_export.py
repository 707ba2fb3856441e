"""The log as files: written straight from the database, read by a verifier that shares no code, by tildel, and after accidents."""

import base64
import fcntl
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import time
import uuid

import pytest

import console
import contract
import log_house
import verifier

@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A log that only grows."""
    made = log_house.make(tmp_path_factory.mktemp("export") / "stack")
    try:
        yield made.up()
    finally:
        made.down()


@pytest.fixture
def own(tmp_path):
    """A log that may be spoilt."""
    made = log_house.make(tmp_path / "stack")
    try:
        yield made.up()
    finally:
        made.down()


def grow(house, size):
    """Until the log has so many events and has signed them."""
    while (missing := size - int(house.ask("eventlog.v1.GetHead")["position"])) > 0:
        house.append(min(missing, 400))
    house.ask("eventlog.v1.GetCheckpoint", {"covers": str(size)})


def export(house, folder, **more):
    return subprocess.run([house.stack.binary("eventlog"), "--export", str(folder)], env=house.stack.env("eventlog"),
                          text=True, stdin=subprocess.DEVNULL, capture_output=True, **more)


def exported(house, folder):
    done = export(house, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(house, folder, *words, code=1, **more):
    """One sentence, and no other fault."""
    done = export(house, folder, **more)
    said = [json.loads(line) for line in done.stderr.splitlines() if '"alarm"' in line]
    assert done.returncode == code and len(said) == 1, done.stdout + done.stderr
    assert all(word in said[0]["reason"] for word in words), said


def key_file(house):
    return str(house.stack.folder / "keys" / "log.pub")


def verified(house, folder):
    return console.told(house, "verify", str(folder), "--key", key_file(house))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def name(index, width):
    """c2sp.org/tlog-tiles: "1234067" is x001/x234/067."""
    digits = str(index).zfill((len(str(index)) + 2) // 3 * 3)
    groups = [digits[at:at + 3] for at in range(0, len(digits), 3)]
    return "/".join(["x" + group for group in groups[:-1]] + groups[-1:]) + (f".p/{width}" if width < 256 else "")


def check(house, folder):
    """By the texts of C2SP alone; the entries."""
    checkpoint = verifier.Checkpoint((folder / "checkpoint").read_bytes(),
                                     verifier.Key(pathlib.Path(key_file(house)).read_text()))
    entries = []

    def bundle(index, width):
        data = (folder / "tile" / "entries" / name(index, width)).read_bytes()
        entries.extend(verifier.read_bundle(data))
        return data

    verifier.check_tiles(checkpoint.size, checkpoint.root,
                         lambda level, index, width: (folder / "tile" / str(level) / name(index, width)).read_bytes(),
                         bundle)
    return entries


def stored(house, size):
    return [bytes.fromhex(row) for row in house.rows(
        f"SELECT encode(bytes, 'hex') FROM eventlog.log WHERE position <= {size} ORDER BY position;")]


def test_a_log_of_any_size_is_read_by_who_knows_only_the_public_texts(house, tmp_path):
    for size in (1, 2, 255, 256, 257, 700):
        grow(house, size)
        folder = tmp_path / str(size)
        told = exported(house, folder)
        assert told["events"] == told["new"] == size
        assert check(house, folder) == stored(house, size)
        found = verified(house, folder)
        assert found["events"] == size and found["root"] == told["root"] and found["signature_checked"]
        beside = b"".join((folder / "beside" / name(index, min(256, size - 256 * index))).read_bytes()
                          for index in range((size + 255) // 256))
        assert [tuple(int.from_bytes(beside[at:at + 8], "big") for at in (place, place + 8))
                for place in range(0, 16 * size, 16)] == [
                    tuple(map(int, row.split())) for row in house.rows(
                        f"SELECT appended_at_us, epoch FROM eventlog.log WHERE position <= {size} ORDER BY position;")]


def test_a_folder_is_brought_up_to_date_and_what_is_full_is_not_touched(house, tmp_path):
    folder = tmp_path / "grown"
    grow(house, 700)
    exported(house, folder)
    for size in (701, 1023, 1024, 1300):
        before = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
        held = int(verified(house, folder)["events"])
        grow(house, size)
        assert exported(house, folder)["new"] == size - held
        fresh = tmp_path / f"fresh-{size}"
        exported(house, fresh)
        assert files(folder) == files(fresh)                # then: as if it had been written at once
        untouched(folder, before)
    before = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    assert exported(house, folder)["new"] == 0
    untouched(folder, before)
    assert files(folder) == files(fresh)


def untouched(folder, before):
    """What the checkpoint of before covered: a run that is cut short could not harm it."""
    for path, stat in before.items():
        if path.exists() and path.relative_to(folder).parts[0] in ("tile", "beside"):
            assert (path.stat().st_mtime_ns, path.stat().st_ino) == (stat.st_mtime_ns, stat.st_ino), path


def test_whatever_is_damaged_is_found_with_its_position(house, tmp_path):
    grow(house, 700)
    folder = tmp_path / "whole"
    exported(house, folder)
    size = verified(house, folder)["events"]
    whole, chance = files(folder), random.Random(7)
    hashed = [one for one in whole if one.startswith("tile/")]
    ends = {}  # of each entry in its bundle
    for bundle in (one for one in hashed if one.startswith("tile/entries/")):
        at, ends[bundle] = 0, []
        while at < len(whole[bundle]):
            at += 2 + int.from_bytes(whole[bundle][at:at + 2], "big")
            ends[bundle].append(at)

    def position(one, offset):
        first = 256 * int(one.split("/")[2].removesuffix(".p")) + 1
        if one in ends:
            return first + sum(end <= offset for end in ends[one])
        return first + offset // 32

    def found(one):
        done = console.run(house, "verify", str(folder), "--key", key_file(house))
        assert done.returncode == 4 and str(folder) in done.stderr, (one, done.stdout + done.stderr)
        return done.stderr

    for _ in range(60):
        one = chance.choice(hashed)
        spoilt = bytearray(whole[one])
        offset = chance.randrange(len(spoilt))
        spoilt[offset] ^= 1 << chance.randrange(8)
        (folder / one).write_bytes(spoilt)
        said = found(one)
        if one.split("/")[1] in ("entries", "0"):
            assert f"position {position(one, offset)}: " in said, (one, offset, said)
        else:
            assert f"{one} is not the tree's" in said, said
        (folder / one).write_bytes(whole[one])
    for one in whole:
        if one.startswith("large/") or one == "log.pub":
            continue
        (folder / one).unlink()
        if one == "checkpoint":
            console.refused(house, 1, "has no checkpoint", "verify", str(folder))
        else:
            assert f"{one} is missing" in found(one)
        (folder / one).write_bytes(whole[one][:-1])
        said = found(one)
        assert one not in ends or "its bundle ends before it does" in said, said
        (folder / one).write_bytes(whole[one] + b"x")
        found(one)
        (folder / one).write_bytes(whole[one])
    assert verified(house, folder)["events"] == size
    other = tmp_path / "other.pub"
    other.write_text((house.stack.folder / "keys" / "witness.pub").read_text())
    console.refused(house, 4, "its checkpoint is not the log's", "verify", str(folder), "--key", str(other))


def test_an_entry_that_no_bundle_takes_has_a_file_of_its_own(own, tmp_path):
    own.append(3)
    big = contract.encode("eventlog.v1.Event", {
        "id": str(uuid.UUID(int=7)), "source": "intake", "type": "intake.v1.CallClosed", "stream": "intake/call/big",
        "version": "1", "subject": "big", "time_us": "1", "rehearsal": True,
        "data": base64.b64encode(contract.encode("intake.v1.CallClosed", {"call_id": "x" * 100_000})).decode()})
    answer = own.ask_as("intake", "eventlog.v1.Append", {"events": [base64.b64encode(big).decode()]}, "intake:SERVICE")
    assert answer.status == "OK", answer
    grow(own, 6)
    folder = tmp_path / "log"
    exported(own, folder)
    assert (folder / "large" / "4").read_bytes() == big
    entries = verifier.read_bundle((folder / "tile" / "entries" / name(0, 6)).read_bytes())
    assert entries[3] == b"" and [entry for entry in entries if entry] == [
        entry for entry in stored(own, 6) if entry != big]
    assert verified(own, folder)["events"] == 6
    before = (folder / "large" / "4").stat().st_mtime_ns
    grow(own, 8)
    exported(own, folder)
    assert (folder / "large" / "4").stat().st_mtime_ns == before and verified(own, folder)["events"] == 8
    (folder / "large" / "4").write_bytes(big[:-1] + b"y")
    console.refused(own, 4, "position 4: it does not have the hash", "verify", str(folder), "--key", key_file(own))


def test_an_export_that_was_killed_is_none_until_it_is_run_again(house, tmp_path):
    grow(house, 1300)
    whole = tmp_path / "whole"
    exported(house, whole)
    for number, seconds in enumerate([0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3]):
        folder = tmp_path / str(number)
        running = subprocess.Popen([house.stack.binary("eventlog"), "--export", str(folder)],
                                   env=house.stack.env("eventlog"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
        running.wait()
        if folder.exists() and not (folder / "checkpoint").exists():
            console.refused(house, 1, "has no checkpoint", "verify", str(folder))
        exported(house, folder)
        assert files(folder) == files(whole)


def test_a_disk_that_is_full_leaves_the_export_as_it_was(house, tmp_path):
    folder = tmp_path / "log"
    grow(house, 700)
    exported(house, folder)
    before = (folder / "checkpoint").read_bytes()
    grow(house, 1800)
    refused(house, folder, "cannot be written", preexec_fn=small_files)
    assert (folder / "checkpoint").read_bytes() == before
    verified(house, folder)
    exported(house, folder)
    verified(house, folder)


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def test_only_a_folder_that_is_empty_or_holds_this_log_is_written_to(house, own, tmp_path):
    grow(house, 700)
    grow(own, 5)
    foreign, other = tmp_path / "foreign", tmp_path / "other"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear sir")
    refused(house, foreign, "no export of a log: it holds letter.txt")
    exported(own, other)
    before = files(other)
    refused(house, other, "holds the log", "name another folder")
    assert files(other) == before and (foreign / "letter.txt").read_text() == "dear sir"
    (tmp_path / "file").write_text("")
    refused(house, tmp_path / "file", "cannot be opened")
    refused(house, tmp_path / "no" / "such", "cannot be made")
    empty = tmp_path / "empty"
    empty.mkdir()
    exported(house, empty)
    (empty / "checkpoint").write_text("nonsense")
    refused(house, empty, "checkpoint is damaged")
    busy = os.open(other, os.O_RDONLY)
    fcntl.flock(busy, fcntl.LOCK_EX)
    refused(own, other, "is being written by another export")
    os.close(busy)
    exported(own, other)
    assert export(house, "").returncode == 1


def test_a_log_that_has_changed_or_lost_something_is_not_exported(own, tmp_path):
    folder, newer = tmp_path / "log", tmp_path / "newer"
    refused(own, folder, "has signed no checkpoint")
    assert not folder.exists()
    grow(own, 300)
    exported(own, newer)
    assert own.stack.process("eventlog").stop()
    own.superuser("UPDATE eventlog.log SET bytes = set_byte(bytes, 40, get_byte(bytes, 40) # 1) WHERE position = 280;")
    refused(own, folder, "position 300: the log does not have the root that it has signed", code=4)
    assert not (folder / "checkpoint").exists()
    own.superuser("UPDATE eventlog.log SET bytes = set_byte(bytes, 40, get_byte(bytes, 40) # 1) WHERE position = 280;")
    exported(own, folder)                                   # given: what was left of the first try is there
    own.superuser("DELETE FROM eventlog.log WHERE position = 290;")
    refused(own, tmp_path / "gap", "position 290: missing", code=4)
    own.superuser("DELETE FROM eventlog.log WHERE position > 256; DELETE FROM eventlog.checkpoint WHERE size > 256;"
                  "INSERT INTO eventlog.checkpoint SELECT 256, '', 1 WHERE NOT EXISTS (SELECT FROM eventlog.checkpoint);")
    refused(own, newer, "checkpoint is damaged", code=4)


def test_a_folder_that_holds_more_than_the_log_says_so(own, tmp_path):
    grow(own, 50)
    grow(own, 90)
    folder = tmp_path / "log"
    exported(own, folder)
    assert own.stack.process("eventlog").stop()
    own.superuser("DELETE FROM eventlog.checkpoint WHERE size > 50; DELETE FROM eventlog.log WHERE position > 50;")
    before = files(folder)
    refused(own, folder, "holds 90 events and the database 50: positions 51 to 90 are lost")
    assert files(folder) == before


def test_of_how_far_it_is_nothing_stays_and_a_short_run_says_nothing_on_a_pipe(house, tmp_path):
    grow(house, 700)
    for words in (["--verify"], ["--export", str(tmp_path / "log")]):
        done = subprocess.run([house.stack.binary("eventlog"), *words], text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, env=house.stack.env("eventlog"))
        assert done.returncode == 0 and done.stderr == "", done.stderr  # it took less than two seconds
        terminal, other = os.openpty()
        done = subprocess.run([house.stack.binary("eventlog"), *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=other, env=house.stack.env("eventlog"))
        os.close(other)
        shown = os.read(terminal, 65536).decode()
        os.close(terminal)
        assert done.returncode == 0 and shown.endswith("\r\x1b[K") and "\n" not in shown, shown  # nothing stays


def test_an_earlier_key_of_the_log_is_known_to_verify_and_export(own, tmp_path):
    grow(own, 40)
    keys = own.stack.folder / "keys"
    assert own.stack.process("eventlog").stop()
    old = (keys / "log.pub").read_text()
    for one in ("log.key", "log.pub"):
        (keys / one).rename(keys / f"old-{one}")
    own.stack.extra_env["LOG_ORIGIN"] = old.partition("+")[0]
    own.stack.make_keys()                                   # when: another key of the same name signs from now on
    new = (keys / "log.pub").read_text()
    own.stack.start("eventlog")
    grow(own, 80)

    def verify():
        return subprocess.run([own.stack.binary("eventlog"), "--verify"], env=own.stack.env("eventlog"), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)

    done = verify()
    assert done.returncode == 4 and "its checkpoint is damaged" in done.stdout, done.stdout
    (keys / "log.pub").write_text(new + old)                # then: with both keys, all that was signed is well
    done = verify()
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "log"
    exported(own, folder)
    assert (folder / "log.pub").read_text() == new + old
    verified(own, folder)
