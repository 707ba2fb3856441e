"""What journeys and faults share: a stack of real processes, an independent client, the play, the checker."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
for folder in [TESTS / "lib", TESTS / "check", ROOT / "deploy"]:
    sys.path.insert(0, str(folder))

import checker  # noqa: E402
import client  # noqa: E402
import play  # noqa: E402
import stack  # noqa: E402


def sealed_hashes(told):
    """The hash of each content that was asked approval for: whose it is, and which version."""
    return {body["content_sha256"]: f"of version {body['content_version']} of {body['application_id']}"
            for events in told.values() for type, *_, body in events if type == "intake.v1.ApprovalRequested"}


def without_seals(value, names):
    if isinstance(value, dict):
        return {key: "sealed" if key == "seal" else without_seals(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [without_seals(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


class House:
    """One stack, its client, and what the tests ask of both."""

    def __init__(self, folder):
        self.stack = stack.Stack(folder, os.environ.get("BUILD", ROOT / "build"))
        self.stack.extra_env = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
                                if name in os.environ}
        cast = json.loads((play.DATA / "cases.json").read_text())
        self.stack.bank_rejects = [facts["account"] for facts in cast.values() if facts.get("bank_rejects")]
        self.client = None
        self.stage = None

    def up(self):
        self.stack.up(rehearsal=True, progress=lambda line: None)
        self.client = client.Client(f"tcp://127.0.0.1:{self.stack.settings()['broker']}",
                                    self.stack.folder / "keys")
        self.stage = play.Stage(self.client, say=lambda line: None)
        return self

    def down(self):
        if self.client:
            self.client.close()
        if self.stack.settings() is not None:
            self.stack.down(progress=lambda line: None)
            self.stack.remove()

    def tildel(self, *words):
        return subprocess.run([self.stack.binary("console"), *words], env=self.stack.console_env(), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    # What everyone must see in the end, however it went on the way. The calendar stands still in the play, so
    # times are part of it; only the order between services, and numbers that count deliveries, may differ. So do seals, which
    # are under keys by chance, and the hashes of contents with seals in them.

    def end_state(self):
        state = {"log": checker.story(self.stack)}
        for call in (play.MAIN, play.EXTRA):
            found = self.stage.does(play.AUDITOR, "reporting.v1.GetCall", call_id=call)
            found.pop("position")
            state[call] = found
            state[call]["frame"] = self.stage.does(play.AUDITOR, "allocation.v1.GetFrame", call_id=call)
            state[call]["payments"] = sorted(
                (one["payment_key"], one["state"], one["amount_ore"], one["end_to_end_id"], one["times_sent"])
                for one in self.stage.does(play.PAYMENTS, "payment.v1.ListPayments",
                                           call_id=call)["payments"])
        for case in self.stage.cases.values():
            shown = self.stage.does(play.AUDITOR, "reporting.v1.GetCase", application_id=case.id)
            shown["timeline"] = sorted((moment["type"], moment["at_us"], moment["actor"]["subject"],
                                        moment["summary"])
                                       for moment in shown["timeline"])
            state[case.key] = shown
        return without_seals(state, sealed_hashes(state["log"]))

    def prove(self):
        """The independent checker finds nothing, the console verifies, and replay rebuilds the same tables."""
        faults = checker.check(self.stack, self.client.acks)
        assert faults == [], "\n".join(faults)
        for words in (["verify"], ["replay", "--into", "audit"], ["compare", "--with", "audit"]):
            done = self.tildel(*words)
            assert done.returncode == 0, done.stdout


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path / "stack")
    yield made
    made.down()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The whole play, once, with nothing in its way: what it ends in, and what the log holds."""
    made = House(tmp_path_factory.mktemp("undisturbed") / "stack")
    try:
        made.up()
        play.play(made.stage)
        made.prove()
        yield made
    finally:
        made.down()
