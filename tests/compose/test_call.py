"""The demo's call, from announcement to audited accounts, through `tildel` in the console's container."""

import json
import subprocess
import sys

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


def test_the_operator_sees_every_instance_and_nothing_amiss(house):
    told = house.tildel("status")[1]
    for service in play.SERVICES:
        assert service in told
    told = house.tildel("status", "--json")[1]
    assert json.loads(told[told.index("{"):])["well"], told  # docker-compose says what it makes before that
