"""Keys change while the stack works: nothing is lost, nothing is refused that has a right, and what lost it is."""

import os
import re
import subprocess
import threading
import time

import pytest

import checker
import client
import play
import stack

ORGANISATION = "958935420"


def keys(house, *words):
    folder = house.stack.folder / "keys"
    return subprocess.run([house.stack.binary("keys"), str(folder), *words], env=house.stack.base_env(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rotated(house, name, *words):
    before = {path.name: path.stat().st_ino for path in (house.stack.folder / "keys").iterdir()}
    done = keys(house, "--rotate", name, *words)
    assert done.returncode == 0, done.stderr
    after = {path.name: path.stat().st_ino for path in (house.stack.folder / "keys").iterdir()}
    assert after == before, "containers have these very files mounted"


def oslo(number):
    return {"organisation_number": ORGANISATION, "name": f"Oslo {number}", "form": "KOMM",
            "municipality_number": "0301", "language": "neutral"}


class Load(threading.Thread):
    """Commands to intake, one after another, each of which makes an event, until it is stopped."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.client = client.Client(f"tcp://127.0.0.1:{house.stack.settings()['broker']}",
                                    house.stack.folder / "keys", patience_s=20)
        self.going = True
        self.answers = []
        self.fault = None

    def run(self):
        try:
            while self.going:
                self.answers.append(self.client.ask("intake.v1.ImportOrganisations",
                                                    {"organisations": [oslo(len(self.answers))]}, play.OFFICER))
        except Exception as fault:
            self.fault = fault

    def moves(self, count=20):
        """Wait until it has had so many more answers."""
        goal = len(self.answers) + count
        end = time.monotonic() + 30
        while len(self.answers) < goal and self.fault is None and time.monotonic() < end:
            time.sleep(0.02)
        assert self.fault is None and len(self.answers) >= goal, self.fault

    def stop(self):
        self.going = False
        self.join(30)
        self.client.close()
        assert self.fault is None, self.fault
        assert {answer.status for answer in self.answers} == {"OK"}, self.answers


def imported(house):
    """The names that the log holds, in order."""
    told = checker.story(house.stack)
    return [body["organisation"]["name"] for events in told.values() for type, *_, body in events
            if type == "intake.v1.OrganisationRegistered"]


def log_of(house, name):
    return (house.stack.folder / "log" / f"{name}.log").read_text()


def test_a_services_key_is_changed_while_commands_flow(house):
    house.up()
    load = Load(house)
    load.start()
    load.moves()
    rotated(house, "intake")
    load.moves()  # the old key goes on
    house.stack.start("intake-2")  # with the new one, beside it
    load.moves()
    assert house.stack.process("intake").stop()
    load.moves(40)  # the new one alone
    house.stack.start("intake")
    load.moves()
    assert keys(house, "--revoke", "intake-1").returncode == 0  # the old one is needed no more
    load.moves(40)
    load.stop()
    house.stage.quiet()
    house.client.acks += load.client.acks
    assert imported(house) == [f"Oslo {number}" for number in range(len(load.answers))]
    house.prove()
    assert '"level":"alarm"' not in log_of(house, "broker") + log_of(house, "intake") + log_of(house, "intake-2")


def test_the_brokers_key_is_changed_at_the_cost_of_a_few_seconds(house):
    house.up()
    rotated(house, "broker")
    assert house.stack.process("broker").stop()
    house.stack.start("broker")
    began = time.monotonic()
    house.client.server_key = client.registered(house.stack.folder / "keys", "broker")
    house.client.connect()
    house.stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=[oslo(1)])
    house.stack.wait_ready()
    assert time.monotonic() - began < 20
    house.stage.quiet()


def test_a_key_that_was_revoked_is_refused_from_its_next_message(house):
    house.up()
    house.stage.head()
    assert keys(house, "--revoke", "rehearsal").returncode == 0
    time.sleep(1)
    assert house.client.send([house.client.packet(house.client.made_id("x", {}, play.AUDITOR), "eventlog",
                                                  "eventlog.v1.GetHead", play.AUDITOR), b""])
    assert not house.client.socket.poll(1000)
    # The others do not notice; and the old secret does not come back by accident.
    assert (house.stack.folder / "keys" / "rehearsal.revoked.zpl").exists()
    before = (house.stack.folder / "keys" / "rehearsal.revoked.zpl").read_text()
    assert keys(house, "--rehearsal").returncode == 0
    pair = client.key_pair(house.stack.folder / "keys", "rehearsal")
    assert pair[0].decode() not in before
    house.client.pair = pair
    house.client.connect()
    house.stage.head()


@pytest.fixture
def tool(tmp_path):
    """tildel-keys at work on a folder of its own that it has made."""
    folder = tmp_path / "keys"
    binary = stack.Stack(tmp_path, os.environ.get("BUILD", stack.ROOT / "build")).binary("keys")

    def run(*words):
        return subprocess.run([binary, str(folder), *words], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.folder = folder
    assert run().returncode == 0
    return run


def sections(folder):
    text = (folder / "registry.zpl").read_text()
    found = re.findall(r"^([a-z0-9_-]+)\n((?:    .*\n)*)", text, re.M)
    return {name: dict(re.findall(r'^    (\w+) = "(.*)"$', body, re.M)) for name, body in found}


def test_rotating_keeps_the_old_key_for_its_time_and_every_other_line(tool):
    folder = tool.folder
    registry = folder / "registry.zpl"
    registry.write_text("# who may do what\n\n" + registry.read_text())
    before = sections(folder)
    assert tool("--rotate", "payment", "--keep", "2").returncode == 0
    after = sections(folder)
    second = after.pop("payment-1")
    assert (second["public"], second["of"]) == (before["payment"]["public"], "payment")
    assert after["payment"].pop("public") != before["payment"].pop("public")
    assert after == before and "# who may do what\n" in registry.read_text()
    assert client.key_pair(folder, "payment")[0].decode() == sections(folder)["payment"]["public"]
    assert (folder / "payment.secret.zpl").stat().st_mode & 0o777 == 0o600
    assert tool("--rotate", "payment", "--keep", "0").returncode == 0
    assert set(sections(folder)) == set(before)


def test_a_rotation_that_was_cut_is_finished_by_the_next(tool):
    folder = tool.folder
    old = (folder / "payment.secret.zpl").read_text()
    assert tool("--rotate", "payment").returncode == 0
    # As it is when the machine stops between the registry and the secret.
    (folder / "payment.secret.new.zpl").write_text((folder / "payment.secret.zpl").read_text())
    (folder / "payment.secret.zpl").write_text(old)
    before = sections(folder)
    assert tool("--rotate", "payment").returncode == 0
    assert sections(folder) == before and not (folder / "payment.secret.new.zpl").exists()
    assert client.key_pair(folder, "payment")[0].decode() == before["payment"]["public"]


@pytest.mark.parametrize("words, code, told", [
    (["--rotate", "nobody"], 1, "'nobody' is no key that is valid now; nothing was changed"),
    (["--rotate", "payment", "--keep", "soon"], 2, "usage:"),
    (["--rotate", "payment", "--keep", "-1"], 2, "usage:"),
    (["--revoke", "nobody"], 1, "there is no key 'nobody'; nothing was changed"),
    (["--rotate"], 2, "usage:"),
])
def test_what_can_not_be_rotated_or_revoked_changes_nothing(tool, words, code, told):
    folder = tool.folder
    before = {path.name: path.read_text() for path in folder.iterdir()}
    done = tool(*words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_name_that_a_new_version_brings_may_be_asked_by_those_who_need_it(tool):
    folder = tool.folder
    registry = folder / "registry.zpl"
    made = registry.read_text()
    before = sections(folder)
    # As a version made it that knew no witness; and a hand has taken the payment service away from the event log.
    older = re.sub(r"^witness\n(    .*\n)*", "", made, flags=re.M)
    older = older.replace('asks = "eventlog witness intake', 'asks = "eventlog intake')
    older = older.replace("evaluation allocation payment reporting", "evaluation allocation reporting")
    registry.write_text(older)
    assert tool().returncode == 0
    after = sections(folder)
    assert after["witness"] == before["witness"]
    assert set(after["eventlog"]["asks"].split()) == set(before["eventlog"]["asks"].split()) - {"payment"}
    assert "witness" in after["auditor"]["asks"].split()
    assert "witness" not in after["portal"]["asks"].split()
