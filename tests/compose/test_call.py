"""The demo's call, from announcement to audited accounts, through `tildel` in the console's container."""

import json
import os
import subprocess
import sys

import containers
import play
import speak


class Bank:
    """The bank's stand-in, outside, at the trays of the finance volume."""

    def __init__(self, house):
        trays, archive = house.volume("finance"), house.folder / "trays" / "bank"
        archive.mkdir(parents=True, exist_ok=True)
        cast = json.loads((play.DATA / "cases.json").read_text())
        rejected = [word for facts in cast.values() if facts.get("bank_rejects")
                    for word in ("--reject-once", facts["account"])]
        self.log = open(house.folder / "bank.log", "w")
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(house.folder / "deploy" / "bank"), "--out", str(trays / "out"), "--in",
             str(trays / "in"), "--archive", str(archive), *rejected], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


def test_a_call_is_played_through_the_console_and_the_log_replayed_is_the_tables(house):
    speaker = speak.Speaker(house.console("rehearsal"), house.environment())
    try:
        with Bank(house):
            stage = play.Stage(speaker, say=lambda line: None)
            play.play(stage)
    finally:
        speaker.close()
    call = house.stage.does(play.AUDITOR, "reporting.v1.GetCall", call_id=play.EXTRA)
    assert call["paid_ore"] == call["awarded_ore"] != "0"
    house.prove(compare=True)


def test_the_log_is_exported_as_the_readme_says_and_the_export_is_verified(house):
    with house.load() as running:
        running.progress(5).finish()
    assert "tildel" in house.tildel("log", "checkpoint")[1]
    folder = house.folder / "exported-log"
    folder.mkdir(mode=0o700)
    os.chown(folder, 10001, 10001)
    where = ["run", "--rm", "-T", "--no-deps", "-v"]
    for new in (True, False):                               # the second time there is nothing to add
        told = house.compose(*where, f"{folder}:/srv/log", "eventlog", "--export", "/srv/log")[1]
        told = json.loads(next(line for line in told.splitlines() if line.startswith("{")))
        assert told["exported"] and (told["new"] > 0) == new, told
    console = [*where, f"{folder}:/srv/log:ro", "console"]
    told = house.compose(*console, "verify", "/srv/log", "--key", "/run/secrets/log.pub")[1]
    assert "signed by the log" in told, told
    before = containers.docker("volume", "ls", "-q").split()
    told = house.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "console", "-c",
                         "dd if=/dev/zero of=/tmp/room bs=1M count=300 2>/dev/null && ls -s /tmp/room")[1]
    assert "/tmp/room" in told, "a long log's ids have room on disk, beyond the memory of the container"
    told = house.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "console", "-c",
                         "tildel audit export /tmp/package.tar && tildel verify /tmp/package.tar")[1]
    assert "verified:" in told, told
    assert containers.docker("volume", "ls", "-q").split() == before, "and nothing of it stays"


def test_the_operator_sees_every_instance_and_nothing_amiss(house):
    told = house.tildel("status")[1]
    for service in play.SERVICES:
        assert service in told
    told = house.tildel("status", "--json")[1]
    assert json.loads(told[told.index("{"):])["well"], told  # docker-compose says what it makes before that
