"""Starting: in any order, each waiting for its own; and what is wrong at the start is told in one sentence, ends the
process or keeps it from being ready, and harms nobody."""

import json
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest

import conftest


class Attempt:
    """One more process beside a running stack, with something about it changed; ended when the block ends."""

    def __init__(self, house, name, **changes):
        self.house, self.name = house, name
        port = conftest.stack.free_ports(1)[0]  # its own: the one of its name may be taken
        self.env = {**house.stack.env(name), "METRICS_BIND": f"127.0.0.1:{port}", **changes}
        self.log = house.stack.folder / "log" / f"{name}.attempt.log"

    def __enter__(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([self.house.stack.binary(self.name.split("-")[0])], env=self.env,
                                            stdin=subprocess.DEVNULL, stderr=log)
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]

    def says(self, words, within_s=10):
        """Wait for a line that has these words; how many have."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            found = [line for line in self.lines() if words in line["what"] + " " + line.get("reason", "")]
            if found:
                return len(found)
            time.sleep(0.02)
        raise AssertionError(f"'{words}' is not said in:\n{self.log.read_text()}")

    def refuses(self, words):
        """It ends by itself with exit code 1 and exactly one alarm, which has these words."""
        assert self.process.wait(10) == 1, self.log.read_text()
        alarms = [line["what"] for line in self.lines() if line["level"] == "alarm"]
        assert len(alarms) == 1 and words in alarms[0], self.log.read_text()

    def ready(self):
        return subprocess.run([self.house.stack.binary(self.name.split("-")[0]), "--health"], env=self.env,
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def becomes_ready(self):
        end = time.monotonic() + 20
        while not self.ready():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def stops(self, within_s=1.0):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        assert time.monotonic() - began < within_s


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    made = conftest.House(tmp_path_factory.mktemp("start") / "stack")
    try:
        yield made.up()
    finally:
        made.down()


@pytest.fixture
def unharmed(up):
    """A running stack. Whatever was tried beside it, it goes on as it was."""
    pids = {name: up.stack.process(name).pid() for name in up.stack.everyone() if name != "bank"}
    yield up
    up.stack.wait_ready()
    up.stage.head()
    assert {name: up.stack.process(name).pid() for name in pids} == pids
    assert all(up.stack.process(name).alive() for name in pids)


def secret(house, text, mode=0o600):
    path = house.stack.folder / "attempt.url"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def url(house, password):
    return house.stack.cluster.url("tildel_intake").replace(house.stack.cluster.password("tildel_intake"), password)


# Secrets.


def test_a_wrong_password_is_told_once_and_keeps_the_service_from_being_ready(unharmed):
    path = secret(unharmed, url(unharmed, "0123456789abcdef-wrong"))
    with Attempt(unharmed, "intake-2", DATABASE_URL_FILE=path) as attempt:
        attempt.says("password authentication failed")
        time.sleep(2)
        assert attempt.says("waiting for the database") == 1
        assert not attempt.ready() and attempt.process.poll() is None
        attempt.stops()


# A secret, its mode, and what is said of it.
SECRETS = [
    (None, None, "attempt.url cannot be read: No such file or directory; deploy/init makes it"),
    ("", 0o600, "attempt.url is empty; remove it, deploy/init makes it again"),
    ("postgresql://tildel_intake:tildel_intake@db/tildel", 0o600, "has its role's name as password"),
    ("postgresql://tildel_intake:postgres@db/tildel", 0o600, "has a password of fewer than 16 characters"),
    ("postgresql://tildel_intake:ChangeMe-ChangeMe@db/tildel", 0o600, "has a password that anyone would try first"),
    ("postgresql://tildel_intake@db/tildel", 0o600, "has no password"),
    ("postgresql://tildel_intake:0123456789abcdef@db/tildel", 0o644, "is open to group or others (mode 0644)"),
]


@pytest.mark.parametrize("name", ["intake-2", "eventlog-2"])
def test_a_missing_or_default_secret_is_refused(unharmed, name):
    path = unharmed.stack.folder / "attempt.url"
    for text, mode, told in SECRETS:
        path.unlink(missing_ok=True)
        if text is not None:
            secret(unharmed, text, mode)
        with Attempt(unharmed, name, DATABASE_URL_FILE=str(path)) as attempt:
            attempt.refuses(told)
            assert "DATABASE_URL_FILE" in attempt.log.read_text()


@pytest.fixture
def other_keys(unharmed, tmp_path):
    folder = tmp_path / "keys"
    shutil.copytree(unharmed.stack.folder / "keys", folder)
    return folder


@pytest.mark.parametrize("name, key", [("intake-2", "intake"), ("connector", "finance"), ("broker", "broker")])
def test_a_key_that_is_missing_not_registered_or_open_to_others_is_refused(unharmed, other_keys, tmp_path, name, key):
    if name != "intake-2":  # what they hold alone is not theirs to take
        trays = {word: str(tmp_path) for word in ("FINANCE_OUT", "FINANCE_IN", "FINANCE_DONE", "FINANCE_REJECTED",
                                                  "FINANCE_STATE")}
        changes = {"BUS_KEYS": str(other_keys), "BROKER_BIND": f"ipc://{tmp_path}/broker", **trays}
    else:
        changes = {"BUS_KEYS": str(other_keys)}
    path = other_keys / f"{key}.secret.zpl"
    own = path.read_text()
    path.write_text((other_keys / "portal.secret.zpl").read_text())
    with Attempt(unharmed, name, **changes) as attempt:
        attempt.refuses(f"this key is not the one that the registry names '{key}'")
    path.write_text(own)
    path.chmod(0o640)
    with Attempt(unharmed, name, **changes) as attempt:
        attempt.refuses("the secret key is open to group or others (mode 0640); make it 0600")
    path.unlink()
    with Attempt(unharmed, name, **changes) as attempt:
        attempt.refuses("the secret key cannot be read: No such file or directory; deploy/init makes it")
    path.mkdir()
    with Attempt(unharmed, name, **changes) as attempt:
        attempt.refuses("the secret key is not a file; deploy/init makes it")


def test_a_registry_without_the_key_is_refused(unharmed, other_keys):
    registry = other_keys / "registry.zpl"
    registry.write_text(registry.read_text().replace("\nintake\n", "\nnobody\n"))
    with Attempt(unharmed, "intake-2", BUS_KEYS=str(other_keys)) as attempt:
        attempt.refuses("has no key 'intake' that is valid now")


# What only one may have.


def test_a_second_broker_finds_its_port_taken(unharmed):
    with Attempt(unharmed, "broker") as attempt:
        attempt.refuses("cannot be bound: Address already in use")


def test_a_second_connector_on_the_same_state_is_refused(unharmed):
    with Attempt(unharmed, "connector") as attempt:
        attempt.refuses("another connector is using FINANCE_STATE")


def test_a_connector_is_refused_as_long_as_payments_are_on_hold(unharmed, tmp_path):
    trays = {}
    for name in ("OUT", "IN", "DONE", "REJECTED", "STATE"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        trays[f"FINANCE_{name}"] = str(folder)
    hold = tmp_path / "state" / "HOLD"
    hold.touch()
    with Attempt(unharmed, "connector", **trays) as attempt:
        attempt.refuses(f"payments are on hold ({hold} is there): compare with the bank what the log says")
    assert hold.exists(), "only a person releases payments"
    hold.unlink()
    with Attempt(unharmed, "connector", **trays) as attempt:
        attempt.says("the connector serves")
        attempt.stops(5)


def test_a_second_event_log_stands_by_and_ends_at_once(unharmed):
    with Attempt(unharmed, "eventlog-2") as attempt:
        attempt.says("another writer holds the log")
        time.sleep(2.5)
        assert attempt.says("standing by") == 1
        assert attempt.process.poll() is None
        attempt.stops()


# Steps of the schema.


@pytest.fixture
def steps(unharmed):
    """Say that the schema of intake has taken further steps than `known`, the last that its program knows."""
    sql = unharmed.stack.cluster.sql
    known = int(sql("SELECT max(number) FROM intake.schema_step WHERE list = 1;"))

    def take(beyond, oldest_beyond):
        sql("INSERT INTO intake.schema_step (list, number, oldest) "
            f"VALUES (1, {known + beyond}, {known + oldest_beyond});")

    take.known = known
    yield take
    sql(f"DELETE FROM intake.schema_step WHERE list = 1 AND number > {known};")


def test_a_program_one_step_behind_its_database_serves(unharmed, steps):
    steps(1, 0)
    with Attempt(unharmed, "intake-2") as attempt:
        attempt.becomes_ready()
        attempt.stops(5)


def test_a_program_that_a_step_does_not_allow_is_refused(unharmed, steps):
    steps(1, 0)
    steps(2, 1)
    with Attempt(unharmed, "intake-2") as attempt:
        attempt.refuses(f"schema intake is at step {steps.known + 2} of list 1, which needs a program that knows step "
                        f"{steps.known + 1}, and this one knows {steps.known}: start the newer program")


# Order, and waiting.


@pytest.mark.parametrize("name", ["intake", "eventlog"])
def test_a_database_that_says_nothing_does_not_keep_a_process_from_ending(house, name):
    house.stack.make_folder(True)
    house.stack.make_keys()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://tildel_{name}:0123456789abcdef@127.0.0.1:{silent.getsockname()[1]}/tildel"
        env = {"DATABASE_URL": address, "DATABASE_ROLE": f"tildel_{name}"}
        house.stack.cluster.url_file = lambda role: "/nowhere"
        with Attempt(house, name, **env) as attempt:
            silent.accept()[0]  # it is connecting now
            attempt.stops()


def test_started_in_any_order_each_waits_for_its_own_and_says_so(house):
    """All processes first, then PostgreSQL, then the schemas: everybody goes on by itself."""
    stack = house.stack
    stack.make_folder(True)
    stack.make_keys()
    names = [name for name in stack.everyone() if name != "bank"]
    random.Random(7).shuffle(names)
    for name in names:
        stack.start(name)
        time.sleep(0.1)
    time.sleep(1.5)
    assert all(stack.process(name).alive() for name in names)
    assert not stack.healthy("intake") and not stack.healthy("eventlog")
    stack.cluster.start()
    stack.cluster.make_database()
    time.sleep(2.5)
    lines = {name: [json.loads(line) for line in (stack.folder / "log" / f"{name}.log").read_text().splitlines()]
             for name in names}
    for name in ("intake", "payment", "eventlog"):
        reasons = [line["reason"] for line in lines[name] if line["what"] in ("waiting for the database", "standing by")]
        assert "the database cannot be reached" in reasons[0], reasons
        assert f"schema {name} is at step 0" in reasons[-1] and "run --migrate (tildel-migrate)" in reasons[-1], reasons
        assert len(reasons) == len(set(reasons)), "each reason is told once"
    assert not stack.healthy("intake") and all(stack.process(name).alive() for name in names)
    for name in conftest.stack.SCHEMAS:
        stack.migrate(name)
    stack.wait_ready()
    assert "the database is there, going on" in (stack.folder / "log" / "intake.log").read_text()


def test_an_event_log_whose_port_is_taken_says_so_and_is_mended_by_a_start(house):
    house.up()
    port = house.stack.settings()["feed"]
    assert house.stack.process("eventlog").stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with Attempt(house, "eventlog") as attempt:
            attempt.refuses("cannot be bound: Address already in use")
    house.stack.start("eventlog")
    house.stack.wait_ready()
    house.stage.head()


def test_the_event_log_that_stands_by_takes_over(house):
    house.up()
    with Attempt(house, "eventlog-2") as attempt:
        attempt.says("standing by")
        house.stack.process("eventlog").kill()
        attempt.says("the log is ours")
        house.stage.head()
        attempt.stops(5)
