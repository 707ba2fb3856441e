"""The processes that are measured: a stack with full durability, parts of it started as a case needs them."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
for folder in [TESTS / "lib", TESTS / "check", ROOT / "deploy"]:
    sys.path.insert(0, str(folder))

import client  # noqa: E402
import contract  # noqa: E402
import play  # noqa: E402
import stack  # noqa: E402
import volume  # noqa: E402

BUILD = ROOT / "build-bench"
FOLDER = ROOT / ".run" / "bench"
OPTIONS = ["--buildtype=release", "-Dwerror=false", "-Dbench=true"]
CALL = play.MAIN
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on"}
SETTINGS = {"max_connections": "120", "track_commit_timestamp": "on", "max_wal_size": "4GB", "min_wal_size": "2GB"}
WAL_SEGMENTS = """DO $$ BEGIN
FOR segment IN 1..30 LOOP PERFORM pg_logical_emit_message(false, 'bench', ''), pg_switch_wal(); END LOOP;
END $$"""


def targets():
    """What is measured and what measures it; the tests of the modules are not built."""
    own = [
        "services/broker/tildel-broker", "services/eventlog/tildel-eventlog", "services/witness/tildel-witness",
        "services/console/tildel"
    ]
    tools = [f"tests/bench/bench_{name}" for name in ("client", "limits", "delay")]
    tools.append("tests/bench/libbench_plain.so")
    if pathlib.Path("/usr/include/amqp.h").exists() or list(pathlib.Path("/usr/include").glob("rabbitmq-c/*.h")):
        tools.append("tests/bench/bench_peers")
    return [
        *own, "services/broker/tildel-keys", *(f"services/tildel-{name}" for name in stack.SERVICES), *tools,
        "proto/tildel.protoset"
    ]


PLAIN = str(BUILD / "tests" / "bench" / "libbench_plain.so")


def tool(name):
    return str(BUILD / "tests" / "bench" / f"bench_{name}")


def run_tool(command, **more):
    """A load generator to its end; what it measured."""
    done = subprocess.run(command,
                          stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          text=True,
                          **more)
    if done.returncode != 0:
        raise stack.Fault(
            f"{pathlib.Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return json.loads(done.stdout)


def memory_of(pid):
    """The lines Vm... of a process, in MB; none when it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("Vm")}


def most_memory_mb(pid):
    """The most it ever had resident."""
    return memory_of(pid).get("VmHWM", 0)


class FarStack(stack.Stack):
    """A stack whose intake instances may reach PostgreSQL through the delay proxy, or run under valgrind."""

    far = None  # the folder of the proxy's socket
    plain = False  # without encryption: see plain.c
    under = {}  # name of a process: command words before its own

    def env(self, name):
        env = super().env(name)
        if self.plain:
            env["LD_PRELOAD"] = PLAIN
        if self.far and name.startswith("intake"):
            place = str(self.cluster.place()).replace("/", "%2F")
            env.pop("DATABASE_URL_FILE")
            env["DATABASE_URL"] = self.cluster.url("tildel_intake").replace(place,
                                                                            str(self.far).replace("/", "%2F"))
        return env

    def secrets_of(self, role):
        """A password file for PostgreSQL's own programs."""
        path = self.cluster.secrets / f"{role}.pgpass"
        stack.write_secret(path, f"*:*:*:{role}:{self.cluster.password(role)}\n")
        return str(path)

    def command(self, name):
        return [*self.under.get(name, []), *super().command(name)]


class House:
    """One stack. What was acknowledged is kept for the checker."""
    def __init__(self, name, plain=False):
        self.folder = FOLDER / name
        self.stack = FarStack(self.folder, BUILD)
        self.stack.plain = plain
        self.acks = self.folder / "acks"
        self.appends = self.folder / "appends"
        self.proxy = None
        self.speaker = None
        self.stage = None
        self.organisations = []
        self.pool = None
        self.drafted = 0
        self.runs = 0

    def __enter__(self):
        try:
            self.up()
            return self
        except BaseException:
            self.down()
            raise

    def __exit__(self, *unused):
        self.down()

    def up(self):
        if self.stack.settings() is not None:
            self.stack.down(progress=lambda line: None)
            self.stack.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.stack.make_folder(True)
        self.stack.cluster.start(SETTINGS)
        self.check_durable()
        self.stack.cluster.make_database()
        self.stack.make_keys()
        for name in stack.SCHEMAS:
            self.stack.migrate(name)
        self.start("broker", "witness", "eventlog")
        self.sql("CREATE SCHEMA bench")

    def down(self):
        if self.speaker:
            self.speaker.close()
        self.near()
        if self.stack.settings() is not None:
            self.stack.down(progress=lambda line: None)
            self.stack.remove()

    def check_durable(self):
        """A figure of a server that may forget is no figure."""
        for name, value in DURABLE.items():
            found = self.sql(f"SHOW {name}", "postgres").strip()
            if found != value:
                raise stack.Fault(f"PostgreSQL's {name} is {found}; the bench measures with {value} only")

    def sql(self, text, database=stack.DATABASE):
        return self.stack.cluster.sql(text, database)

    # Processes.

    def start(self, *names):
        for name in names:
            self.stack.start(name)
        for name in names:
            if name != "broker":
                self.wait_healthy(name)

    def wait_healthy(self, name):
        end = time.monotonic() + stack.READY_S
        while not self.stack.healthy(name):
            if not self.stack.process(name).alive() or time.monotonic() > end:
                raise stack.Fault(f"{name} is not ready; see {self.folder}/log/{name}.log")
            time.sleep(0.02)

    def stop(self, *names):
        for name in names:
            if not self.stack.process(name).stop():
                raise stack.Fault(f"{name} had to be killed")

    def far(self, delay_ms):
        """From now on intake's instances are started with the database this far away."""
        place = self.stack.cluster.place()
        folder = pathlib.Path(str(place) + "-far")
        folder.mkdir(exist_ok=True)
        self.proxy = subprocess.Popen(
            [tool("delay"),
             str(folder / ".s.PGSQL.5432"),
             str(place / ".s.PGSQL.5432"),
             str(delay_ms)],
            stdin=subprocess.DEVNULL)
        self.stack.far = folder
        while not (folder / ".s.PGSQL.5432").exists():
            time.sleep(0.01)

    def near(self):
        if self.proxy:
            self.proxy.terminate()
            self.proxy.wait()
            shutil.rmtree(self.stack.far, ignore_errors=True)
        self.proxy = self.stack.far = None

    def memory_mb(self, name):
        """Resident now, and the most it ever was."""
        pid = self.stack.process(name).pid()
        return memory_of(pid).get("VmRSS", 0), most_memory_mb(pid)

    def cpu_s(self, name):
        fields = pathlib.Path(f"/proc/{self.stack.process(name).pid()}/stat").read_text().rpartition(
            ")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # The story so far: a call that is open, municipalities, drafts.

    def address(self):
        return f"tcp://127.0.0.1:{self.stack.settings()['broker']}"

    def speak(self):
        if not self.speaker:
            self.speaker = client.Client(self.address(), self.stack.folder / "keys")
            self.stage = play.Stage(self.speaker, say=lambda line: None)
        return self.stage

    def open_call(self):
        """intake runs, and 357 municipalities may apply."""
        stage = self.speak()
        if self.organisations:
            return
        self.start("intake")
        stage.calendar("2024-01-12T10:00:00+01:00")
        made = [organisation(number) for number in range(357)]
        self.organisations = [one["organisation_number"] for one in made]
        stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=made)
        stage.does(play.HEAD, "intake.v1.PublishCall", definition=play.definition(CALL))
        to_us = play.instant("2024-01-22T09:00:00+01:00")
        stage.does(play.OPERATOR, "bus.v1.MoveCalendar", to_us=to_us, stand_still=False)
        content = json.loads((play.DATA / "applications" / "hamar.json").read_text())
        (self.folder / "content").write_bytes(contract.encode("intake.v1.Content", content))

    def before_the_deadline(self, seconds):
        """The calendar of the stack, moved to so long before the call's deadline."""
        deadline_us = play.definition(CALL)["deadline_at_us"]
        self.stage.does(play.OPERATOR, "bus.v1.MoveCalendar", to_us=deadline_us - seconds * 1_000_000, stand_still=False)

    def load(self, what, **words):
        """The load generator: what it measured."""
        self.runs += 1
        append = what == "append"
        command = {
            "broker": self.address(),
            "keys": self.folder / "keys",
            "name": "intake" if append else "rehearsal",
            "what": what,
            "content": self.folder / "content" if what == "save" else "",
            "call": CALL,
            "organisations": ",".join(self.organisations) or "0",
            "acks": "" if what == "ping" else self.appends if append else self.acks,
            "run": self.runs,
            **words
        }
        found = run_tool([tool("client"), *(f"{name}={value}" for name, value in command.items())],
                         env={**os.environ, **({"LD_PRELOAD": PLAIN} if self.stack.plain else {})})
        if found["refused"]:
            raise stack.Fault(f"{found['refused']} of {found['sent']} were refused: {found['why']}")
        return found

    def drafts(self, count):
        """Begin this many applications, to be saved once a round."""
        self.load("start", first=self.drafted, count=count, outstanding=256)
        self.pool = Pool(self, self.drafted, count)
        self.drafted += count

    def settled(self):
        """As a PostgreSQL is that has run for a while: the next files of its WAL are there. A new one makes each when it comes
        to it, and for these ten milliseconds nobody commits."""
        self.sql(WAL_SEGMENTS)
        self.sql("CHECKPOINT")

    # What must hold.

    def quiet(self):
        """Until intake has nothing unsent and the log is at rest."""
        end = time.monotonic() + 60
        while self.sql("SELECT count(*) FROM intake.loop_outbox").strip() != "0":
            if time.monotonic() > end:
                raise stack.Fault("the outbox does not get empty")
            time.sleep(0.05)

    def faults(self):
        self.quiet()

        def read(path):
            return path.read_text().split() if path.exists() else []

        return volume.check(self.stack, read(self.acks), read(self.appends))


class Pool:
    """Drafts that stand at known versions: those before `next` at version + 1, the others at version."""
    def __init__(self, house, base, size):
        self.house, self.base, self.size, self.next, self.version = house, base, size, 0, 0
        self.rate = 1000

    def save(self, seconds, outstanding):
        if self.size - self.next < self.rate * seconds * 1.3:
            self.go(count=self.size - self.next, outstanding=256)
        found = self.go(count=self.size - self.next, seconds=seconds, outstanding=outstanding)
        self.rate = max(self.rate, found["rate"])
        return found

    def go(self, count, **words):
        if count == 0:
            self.next, self.version = 0, self.version + 1
            return None
        found = self.house.load("save", count=count, first=self.base + self.next, version=self.version, **words)
        self.next += found["ok"]
        if self.next == self.size:
            self.next, self.version = 0, self.version + 1
        return found


def organisation(number):
    """An invented municipality with a number whose check digit is right (mod 11)."""
    chance = random.Random(number)
    while True:
        digits = [9, *(chance.randrange(10) for _ in range(7))]
        rest = 11 - sum(a * b for a, b in zip(digits, (3, 2, 7, 6, 5, 4, 3, 2))) % 11
        if rest != 10:
            break
    return {
        "organisation_number": "".join(map(str, digits)) + str(0 if rest == 11 else rest),
        "name": f"Kommune {number}",
        "form": "KOMM",
        "municipality_number": f"{11 + number // 99}{1 + number % 99:02d}",
        "language": "nb"
    }
