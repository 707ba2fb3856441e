"""Receipts of the whole play: fetched from the log, checked with nothing but the log's public key, by us and by others."""

import os
import pathlib
import subprocess

import pytest

import verifier


@pytest.fixture(scope="module")
def receipts(undisturbed, tmp_path_factory):
    """A receipt for every delivery of the play, and the public key, in a folder where nothing else is."""
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "log.pub").write_text((undisturbed.stack.folder / "keys" / "log.pub").read_text())
    streams = undisturbed.stack.cluster.sql("SELECT DISTINCT split_part(stream, '/', 3) FROM eventlog.log "
                                            "WHERE type = 'approval.v1.SignedOff' ORDER BY 1;").split()
    assert len(streams) > 20
    for stream in streams:
        application, kind = stream.split(":")
        done = undisturbed.tildel("receipt", "get", application, "--kind", kind.upper(), "--out",
                                  str(folder / f"{application}.{kind}"), "--timeout", "60")
        assert done.returncode == 0, done.stdout
    return folder


def alone(undisturbed, folder, *words):
    """The console on a machine that has only the receipt and the key: no broker, no keys, no database."""
    return subprocess.run([undisturbed.stack.binary("console"), *words], cwd=folder, text=True, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                               **{name: os.environ[name] for name in ("ASAN_OPTIONS",) if name in os.environ}},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def files(folder):
    return sorted(path for path in folder.iterdir() if path.name != "log.pub" and path.suffix != ".changed")


def test_every_receipt_verifies_with_only_the_public_key(undisturbed, receipts):
    for path in files(receipts):
        done = alone(undisturbed, receipts, "verify", "receipt", path.name, "--key", "log.pub")
        assert done.returncode == 0 and done.stdout.startswith("verified: "), done.stdout


def test_a_verifier_of_others_agrees_and_sees_the_witness(receipts):
    key = verifier.Key((receipts / "log.pub").read_text())
    for path in files(receipts):
        found = verifier.Receipt(path.read_bytes(), key)
        assert found.application == path.stem
        assert len(found.witnesses) == 1


def test_a_changed_receipt_fails_and_the_line_is_named(undisturbed, receipts):
    path = files(receipts)[0]
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if line == "\n":
            continue
        at = len(line) // 2
        lines[number - 1] = line[:at] + ("0" if line[at] != "0" else "1") + line[at + 1:]
        changed = path.with_suffix(".changed")
        changed.write_text("".join(lines))
        lines[number - 1] = line
        done = alone(undisturbed, receipts, "verify", "receipt", changed.name, "--key", "log.pub")
        assert done.returncode == 4 and "line" in done.stdout, (line, done.stdout)


def test_nothing_is_overwritten_and_what_is_unknown_is_told(undisturbed, receipts):
    application = files(receipts)[0].stem
    done = undisturbed.tildel("receipt", "get", application, "--out", str(receipts / "log.pub"))
    assert done.returncode == 1 and "cannot be made" in done.stdout
    done = undisturbed.tildel("receipt", "get", "0190163d-8740-7000-8000-000000000001", "--timeout", "1")
    assert done.returncode == 1 and "no delivery" in done.stdout
    assert undisturbed.tildel("receipt", "get", application, "--kind", "LETTER").returncode == 2
    assert alone(undisturbed, receipts, "verify", "receipt", "nowhere", "--key", "log.pub").returncode == 1
    assert alone(undisturbed, receipts, "verify", "receipt", "log.pub", "--key", "log.pub").returncode == 4


def test_the_play_ends_in_a_log_that_the_public_keys_vouch_for(undisturbed):
    done = undisturbed.tildel("verify")
    assert done.returncode == 0 and "each signed by the log" in done.stdout, done.stdout
    here = pathlib.Path(undisturbed.stack.folder / "keys")
    told = undisturbed.stage.does("aud.itor:AUDITOR", "witness.v1.GetCosignature")
    checkpoint = verifier.Checkpoint(told["note"].encode(), verifier.Key((here / "log.pub").read_text()))
    checkpoint.note.verify(verifier.Key((here / "witness.pub").read_text()))
