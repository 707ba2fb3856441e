"""The cases: each measures one path and returns its rows. The checker has the last word on each."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import time

import psycopg2

import house
import measure
import peers
from house import House, play, run_tool, stack, tool
from measure import Row, alternate, say

SECOND_US = 1_000_000
# Rows of the same size as a submission makes: the application, and its event on the way to the log. Nobody clears up in the
# tables of a limit: PostgreSQL would do that later, while something else is measured.
SUBMISSION_TABLES = """
CREATE TABLE IF NOT EXISTS bench.application (id bigserial PRIMARY KEY, content bytea NOT NULL) WITH (autovacuum_enabled = off);
CREATE TABLE IF NOT EXISTS bench.outbox (id bigserial PRIMARY KEY, bytes bytea NOT NULL) WITH (autovacuum_enabled = off);
"""
SUBMISSION = """WITH a AS (INSERT INTO bench.application (content) VALUES (decode(repeat('78', 1100), 'hex')))
INSERT INTO bench.outbox (bytes) VALUES (decode(repeat('78', 1400), 'hex'));"""
BATCHED = 50
SUBMISSIONS = f"""WITH a AS (INSERT INTO bench.application (content)
                           SELECT decode(repeat('78', 1100), 'hex') FROM generate_series(1, {BATCHED}))
INSERT INTO bench.outbox (bytes) SELECT decode(repeat('78', 1400), 'hex') FROM generate_series(1, {BATCHED});"""
EVENT_TABLE = """
CREATE TABLE IF NOT EXISTS bench.event (position bigint PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL,
                          bytes bytea NOT NULL, leaf bytea NOT NULL, UNIQUE (stream, version)) WITH (autovacuum_enabled = off);
"""


class Lost(Exception):
    """The checker found something lost, doubled or changed."""


class Pace:
    """How long and how often."""
    def __init__(self, quick, large=False):
        self.quick, self.large = quick, large
        self.rounds = 2 if quick else 5
        self.seconds = 0.7 if quick else 1.4
        self.shared = None

    def of(self, quick, full):
        return quick if self.quick else full

    @contextlib.contextmanager
    def house(self, name):
        """A house of its own for a case that takes applications in; with --quick one for all of them, until a case fails."""
        if not self.quick:
            with House(name) as home:
                yield home
            return
        try:
            if not self.shared:
                self.shared = House("quick")
                self.shared.up()
            yield self.shared
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.shared:
            self.shared.down()
        self.shared = None


def prove(home):
    faults = home.faults()
    if faults:
        raise Lost("; ".join(faults[:5]))


def limit_insert(home, batch, seconds, rate=0):
    return run_tool(
        [tool("limits"), "insert",
         home.stack.cluster.url("postgres"),
         str(batch),
         str(seconds),
         str(rate)])


TREE_BATCH = 64


def tree_cost(home, pace):
    """What the tree adds to an append: the log's own statement and tables, with hashes and without."""
    command = [tool("limits"), "append", home.stack.cluster.url("postgres"), str(TREE_BATCH), str(pace.of(0.8, 3))]
    found = [run_tool(command) for _ in range(pace.rounds)]
    ratios = [one["hashed"] / one["bare"] for one in found]
    say("  append, the tree alone: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))
    middles = [measure.figure([one[name] for one in found]) for name in ("hashed", "bare")]
    return Row("append, the tree alone",
               "× without", ratios, target=0.85, of="",
               note=f"the log's own statement, {TREE_BATCH} events a transaction, hashed, in the tree and signed: {middles[0]} "
               f"events/s; without anything that is or holds a hash, a transaction of each in turn: {middles[1]}")


def floor_of_append(home, seconds):
    """Appends a second, one after the other, if one took a bare commit and a way to the log and back and nothing else."""
    commit = limit_insert(home, 1, seconds)["p50_us"]
    asker = house.organisation(1)["organisation_number"]
    hop = home.load("ping", outstanding=1, seconds=seconds, count=5_000_000, organisations=asker)["p50_us"]
    return 1e6 / (commit + hop)


def all_peers(home):
    rabbit = peers.Rabbit()
    return [peers.Redis(), peers.Nats(), rabbit, peers.RabbitStream(rabbit), peers.MessageDb(home)]


def peer_rows(name, unit, found, targets, notes, better="more"):
    """A row for each peer that was there or has a target. One that is not durable has none."""
    rows = []
    for peer in [*notes, *(peer for peer in targets if peer not in notes)]:
        there = peer in notes
        note = notes[peer] if there else f"{peer} is not installed or could not be started here"
        rows.append(
            Row(f"{name}, {peer}",
                unit,
                found["ours"],
                peer=found.get(peer, []),
                peer_name=peer,
                target=None if there and note else targets.get(peer),
                of="peer",
                better=better,
                note=note))
    return rows


# ------------------------------------------------------------------------------------------------ append


def append(pace):
    """Durable append to the event log: version check, order, leaf hash, tree; 600-byte events through broker
    and CURVE, and without CURVE."""
    targets = {
        1: (1, 0.55, {
            "nats": 1.0
        }),
        16: (16, None, {}),
        64: (100, 0.55, {
            "redis": 1.0,
            "rabbitmq quorum": 2.0,
            "message-db": 6.0
        }),
        1000: (1000, 0.7, {
            "redis": 1.5
        })
    }
    seconds, rows = pace.of(0.5, 0.8), []
    with House("append") as home, House("append-plain", plain=True) as bare:
        home.sql(EVENT_TABLE)
        others = [] if pace.quick else all_peers(home)
        with peers.Peers(*others) as known:

            def ours(where, outstanding):
                return where.load("append", outstanding=outstanding, seconds=seconds, count=5_000_000)["rate"]

            for outstanding in pace.of((1, 64), (1, 16, 64, 1000)):
                batch, target, peer_targets = targets[outstanding]
                alone = {"floor": lambda: floor_of_append(home, seconds)} if outstanding == 1 else {}
                found = alternate(f"append, {outstanding} outstanding",
                                  pace.rounds,
                                  ours=lambda: ours(home, outstanding),
                                  limit=lambda: limit_insert(home, batch, seconds)["rate"],
                                  plain=lambda: ours(bare, outstanding),
                                  **alone,
                                  **known.parts(outstanding, seconds))
                name = f"append, {outstanding} outstanding"
                note = f"the limit is a bare insert of {batch} events a transaction"
                rows.append(Row(name, "events/s", found["ours"], found["limit"], target=target, note=note))
                rows.append(Row(f"{name}, without CURVE", "events/s", found["plain"], found["limit"]))
                if alone:
                    rows.append(Row(f"{name}, against its floor", "events/s", found["ours"], found["floor"],
                                    note="the limit is a bare commit and a way to the log and back, one after the other"))
                rows += peer_rows(name, "events/s", found, {} if pace.quick else peer_targets, known.notes())
        rows[0].note += "".join(f"; {name}: {why}" for name, why in known.missing)
        rows.append(tree_cost(home, pace))
        prove(home)
        prove(bare)
    return rows


# ------------------------------------------------------------------------------------------------ deliver

DELIVERED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(s.xmin) - pg_xact_commit_timestamp(a.xmin)) * 1000
  FROM intake.application a JOIN approval.sign_off s ON s.application_id = a.id
 WHERE a.state = 2 AND pg_xact_commit_timestamp(a.xmin) >= '{since}'
"""


def delivered(home, rate, seconds, first):
    """Milliseconds from each command's commit to its reaction's, sorted; what they take apart, p50 and p99."""
    since, count = home.sql("SELECT clock_timestamp()").strip(), int(rate * seconds)
    found = home.load("request", count=count, first=home.pool.base + first, version=1, rate=rate, seconds=seconds + 1)
    if found["sent"] < count:
        say(f"  this machine could offer only {found['sent']} of {count}")
    home.quiet()
    times = wait_for_reactions(home, since, found["ok"])
    commit = limit_insert(home, 1, seconds / 2, rate)
    hop = home.load("ping", count=int(rate * seconds / 2), rate=rate, seconds=seconds)
    return times, [(2 * commit[part] + hop[part]) / 1000 for part in ("p50_us", "p99_us")]


def deliver(pace):
    """Command committed in intake to reaction committed in approval, by the database's own commit times."""
    seconds, rates, rows = pace.of(1, 1.5), pace.of((1000, ), (500, 1000)), []
    with pace.house("deliver") as home:
        home.sql(EVENT_TABLE)
        home.open_call()
        home.start("approval")
        time.sleep(1.5)  # until it has the lease
        home.drafts(sum(int(rate * seconds) for rate in rates) * pace.rounds)
        while home.pool.version == 0:
            home.pool.go(home.pool.size, outstanding=256)
        home.quiet()
        home.settled()
        others = [] if pace.quick else all_peers(home)
        first = 0
        with peers.Peers(*others) as known:
            for rate in rates:
                p50, p99 = {"ours": [], "limit": []}, {"ours": [], "limit": []}
                for number in range(pace.rounds):
                    times, parts = delivered(home, rate, seconds, first)
                    first += int(rate * seconds)
                    p50["ours"].append(times[len(times) // 2])
                    p99["ours"].append(times[int((len(times) - 1) * 0.99)])
                    p50["limit"].append(parts[0])
                    p99["limit"].append(parts[1])
                    for peer in known.running:
                        found = peer.deliver(rate, seconds / 2)
                        p50.setdefault(peer.name, []).append(found["p50_us"] / 1000)
                        p99.setdefault(peer.name, []).append(found["p99_us"] / 1000)
                    say(f"  {rate}/s, round {number + 1} of {pace.rounds}: " + ", ".join(
                        f"{name} p50 {values[-1]:.2f} p99 {p99[name][-1]:.2f} ms" for name, values in p50.items()))
                for name, found, target in (("p50", p50, 1.5), ("p99", p99, 2.0)):
                    rows.append(
                        Row(f"deliver at {rate}/s, {name}", "ms", found["ours"], found["limit"], target=target,
                            better="less"))
                    rows += peer_rows(f"deliver at {rate}/s, {name}", "ms", found, {}, known.notes(), better="less")
        rows[0].note = ("the limit is two bare commits and a way to the log and back, each measured alone; peers: from "
                        "publishing to a consumer on another connection, which commits nothing")
        rows[0].note += "".join(f"; {name}: {why}" for name, why in known.missing)
        prove(home)
        home.stop("approval")
    return rows


def wait_for_reactions(home, since, count):
    end = time.monotonic() + 30
    while True:
        times = sorted(float(line) for line in home.sql(DELIVERED.format(since=since)).split())
        if len(times) >= count:
            return times
        if time.monotonic() > end:
            raise Lost(f"{count} were asked for approval and {len(times)} sign-offs were opened")
        time.sleep(0.1)


# ------------------------------------------------------------------------------------------------ submit


def log_position(home):
    if not getattr(home, "watcher", None):
        home.watcher = psycopg2.connect(home.stack.cluster.url("postgres"))
        home.watcher.autocommit = True
    with home.watcher.cursor() as cursor:
        cursor.execute("SELECT position FROM eventlog.head")
        return cursor.fetchone()[0]


def saved(home, seconds, outstanding):
    """Commands a second, until the log holds the events of all of them."""
    before, began = log_position(home), time.monotonic()
    found = home.pool.save(seconds, outstanding)
    end = time.monotonic()
    wanted = before + found["ok"]
    while log_position(home) < wanted and time.monotonic() < end + 30:
        time.sleep(0.002)
    late = time.monotonic() - end
    return found["ok"] / (found["seconds"] + late)


def submit(pace):
    """SaveDraft with 1.1 KB of content: client, broker, rules, idempotency, outbox, answer, the log keeping
    up."""
    targets = {1: None, 16: None, 64: 1.0, 256: 1.2}
    rows, rates = [], {}
    with pace.house("submit") as home:
        home.sql(SUBMISSION_TABLES)
        home.open_call()
        home.drafts(pace.of(5000, 40000))
        best = 16 if pace.quick else max(
            (8, 16, 32), key=lambda clients: peers.pgbench(home, SUBMISSION, clients, 1)["rate"])
        for outstanding in pace.of((64, 256), (1, 16, 64, 256)):
            found = alternate(f"submit, {outstanding} outstanding",
                              pace.rounds,
                              ours=lambda: saved(home, pace.seconds, outstanding),
                              limit=lambda: peers.pgbench(home, SUBMISSION, best, pace.seconds)["rate"],
                              batched=(lambda: BATCHED * peers.pgbench(home, SUBMISSIONS, 8, pace.seconds)["rate"])
                              if outstanding == 256 else None)
            rates[outstanding] = measure.middle(found["ours"])
            name = f"submit, {outstanding} outstanding"
            rows.append(
                Row(name,
                    "commands/s",
                    found["ours"],
                    found["limit"],
                    target=targets[outstanding],
                    note=f"the limit is pgbench with {best} clients, the same rows, one transaction each"))
            if found["batched"]:
                rows.append(
                    Row(f"{name}, against batches",
                        "commands/s",
                        found["ours"],
                        found["batched"],
                        note=f"the limit is pgbench with 8 clients, {BATCHED} submissions' rows a transaction"))
        rate = rates[64] / 2
        home.settled()
        half = alternate("submit at half load", pace.rounds, ours=lambda: half_load(home, pace, rate))
        rows.append(Row("submit at half load, p99", "ms", half["ours"], target=10, of="", better="less"))
        prove(home)
    return rows


def half_load(home, pace, rate):
    """With drafts of its own: one that is told to come back is not saved, and would not be at its pool's version."""
    count, first = int(rate * pace.seconds), (1 + home.runs) * 1_000_000
    home.load("start", first=first, count=count, outstanding=256)
    home.quiet()
    return home.load("save", first=first, count=count, version=0, rate=rate, seconds=pace.seconds + 5)["p99_us"] / 1000


# ------------------------------------------------------------------------------------------------ scale

FAR_MS = 5
AT_EACH = 128  # under way for each instance: a batch that it has in hand, and one that waits


def saved_by(home, pace, count):
    """Submissions a second by this many instances of intake."""
    names = ["intake"] + [f"intake-{number}" for number in range(2, count + 1)]
    home.start(*names)
    time.sleep(0.3)
    found = home.pool.save(pace.of(0.8, 1.2), AT_EACH * count)
    home.quiet()
    home.stop(*names)
    return found["rate"]


def scale(pace):
    """Submissions a second by 1, 2, 4 and 8 instances of intake, the database here and 5 ms away."""
    rows = []
    with pace.house("scale") as home:
        home.open_call()
        home.drafts(pace.of(5000, 30000))
        home.quiet()
        home.stop("intake")
        for where in pace.of(("5 ms away", ), ("here", "5 ms away")):
            if where != "here":
                home.far(FAR_MS)
            counts = pace.of((1, 4), (1, 2, 4, 8))
            rates = {count: [] for count in counts}
            for number in range(pace.of(1, 5)):
                for count in counts:
                    rates[count].append(saved_by(home, pace, count))
                say(f"  {where}, round {number + 1}: " + ", ".join(f"{count} × {values[-1]:,.0f}/s"
                                                                   for count, values in rates.items()))
            for count in counts:
                target = {4: 3.5, 8: 6.5}.get(count) if where != "here" else None
                rows.append(
                    Row(f"scale, {count} instances, database {where}",
                        "commands/s",
                        rates[count],
                        rates[1],
                        target=target,
                        note="the limit is one instance" if count == 1 else ""))
        home.near()
        home.start("intake")
        prove(home)
    return rows


# ------------------------------------------------------------------------------------------------ peak


USUAL_DRAFTS = 2000


def peak(pace):
    """Ten times the submissions that one instance of intake sustains (5 ms from its database) are offered in the
    last minutes before the deadline."""
    seconds, drafts = pace.of(2, 60), pace.of(4500, 20_000)  # the load generator has at most 4000 under way
    with pace.house("peak") as home:
        home.open_call()
        own = home.drafted
        home.drafts(USUAL_DRAFTS + drafts)
        home.quiet()
        home.stop("intake")
        home.far(FAR_MS)
        home.start("intake")
        home.before_the_deadline(300)
        usual = home.load("save", count=pace.of(40, 100), first=own, outstanding=1)
        sustained = home.load("save", first=own + 100, drafts=USUAL_DRAFTS - 100, count=1_000_000, outstanding=256,
                              seconds=pace.of(2, 5))
        offered = 10 * sustained["rate"]
        say(f"  {sustained['rate']:,.0f}/s are sustained, {offered:,.0f}/s offered for {seconds} s")
        found = home.load("save",
                          first=own + USUAL_DRAFTS,
                          drafts=drafts,
                          count=int(offered * seconds),
                          rate=offered,
                          seconds=seconds)
        recovered = recover(home, usual["p99_us"])
        memory = {name: home.memory_mb(name)[1] for name in ("broker", "witness", "eventlog", "intake")}
        prove(home)
    pace.close()  # its calendar stands before the deadline now
    note = (
        f"offered {offered:,.0f}/s and sent {found['sent'] / seconds:,.0f}/s, acknowledged {found['ok']}, told to come back "
        f"{found['shed']}, unavailable {found['unavailable']}, not answered in time {found['unanswered']}; "
        "memory at most " + ", ".join(f"{name} {mb:.1f} MB" for name, mb in memory.items()))
    return [
        Row("peak, acknowledged and lost", "commands", [0], target=0, of="", better="less", note=note),
        Row("peak, p99 of the acknowledged", "ms", [found["p99_us"] / 1000], target=500, of="",
            better="less"),
        Row("peak, normal again after", "s", [recovered], target=2, of="", better="less"),
        Row("peak, acknowledged",
            "commands/s", [found["ok"] / seconds], [sustained["rate"]],
            note="the limit is what is sustained with 256 outstanding")
    ]


def recover(home, usual_us):
    """Seconds until a small load is answered as before the peak, or twice as slowly."""
    began = time.monotonic()
    first = 10_000_000
    while time.monotonic() - began < 60:
        found = home.load("start", first=first, count=20, outstanding=1)
        first += 20
        if found["p99_us"] <= 2 * usual_us:
            break
    return time.monotonic() - began


# --------------------------------------------------------------------------------------------- replay, verify


class Reader:
    """Commands that read the whole log: events a second, the start of the process included, and the most memory they had."""
    def __init__(self, home):
        stack_of = home.stack
        self.home, self.events, self.number = home, log_position(home), 0
        self.console = stack_of.console_env()
        self.rebuild = {"MIGRATE_URL": stack_of.cluster.url("tildel_owner"), "BUS_NAME": self.console["BUS_NAME"]}
        self.memory = {"verify": [], "tildel verify": [], "export": [], "package": [], "replay": []}

    def run(self, what, command, env):
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as said:
            child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
            most = 0  # asked for while it runs: what wait4 tells begins with the memory of whoever started it
            while child.poll() is None:
                most = max(most, house.most_memory_mb(child.pid))
                time.sleep(0.005)
            took = time.monotonic() - began
            if child.returncode != 0:
                said.seek(0)
                raise stack.Fault(f"{what} failed: {said.read().strip()[-300:]}")
        self.memory[what].append(most)
        return self.events / took

    def binary(self, name):
        return self.home.stack.binary(name)

    def verify(self):
        return self.run("verify", [self.binary("eventlog"), "--verify"], self.home.stack.env("eventlog"))

    def tildel_verify(self):
        return self.run("tildel verify", [self.binary("console"), "verify"], self.console)

    def export(self):
        """Into a new folder each time; they are removed with the house: a file system is slow to make files where it has just
        removed many."""
        self.number += 1
        folder = self.home.folder / f"export-{self.number}"
        return self.run("export", [self.binary("eventlog"), "--export", str(folder)], self.home.stack.env("eventlog"))

    def package(self):
        package = self.home.folder / "package"
        rate = self.run("package", [self.binary("console"), "audit", "export", str(package)], self.console)
        package.unlink()
        return rate

    def replay(self, service):
        self.number += 1
        env = {**self.home.stack.env(service), **self.rebuild}
        return self.run("replay", [self.binary(service), "--replay", self.rebuilt()], env)

    def rebuilt(self):
        """The schema of the last replay."""
        return f"rebuilt_{self.events}_{self.number}"


def replay(pace):
    """The log read from the start: verified, exported, made into a package, and rebuilt into intake's tables."""
    wanted = pace.of(25_000, 300_000)
    with pace.house("replay") as home:
        home.sql(EVENT_TABLE)
        home.open_call()
        if log_position(home) < wanted:
            home.drafts(wanted // 5)
        while log_position(home) < wanted:
            home.pool.go(home.pool.size, outstanding=256)
            home.quiet()
        url, reader = home.stack.cluster.url("postgres"), Reader(home)
        found = alternate("replay and verify",
                          pace.of(1, 5),
                          verify=reader.verify,
                          tildel=reader.tildel_verify,
                          hashed=lambda: run_tool([tool("limits"), "copy", url,
                                                   str(pace.seconds), "sha"])["rate"],
                          copy=lambda: run_tool([tool("limits"), "copy", url,
                                                 str(pace.seconds)])["rate"],
                          written=lambda: run_tool([tool("limits"), "copy", url, str(pace.seconds),
                                                    str(home.folder / "copied")])["rate"],
                          export=reader.export,
                          package=reader.package,
                          replay=lambda: reader.replay("intake"),
                          insert=lambda: limit_insert(home, 1000, pace.seconds)["rate"])
        prove(home)
        mean = int(home.sql("SELECT avg(octet_length(bytes))::integer FROM eventlog.log"))
    size = f"a log of {reader.events} events of {mean} bytes on average; starting the process is in our time"
    return [
        Row("verify",
            "events/s",
            found["verify"],
            found["hashed"],
            target=0.8,
            note=f"{size}; the limit is COPY with SHA-256 in the same pass"),
        Row("tildel verify", "events/s", found["tildel"], found["hashed"], note="over the bus, with all signatures"),
        Row("COPY binary", "events/s", found["copy"], found["hashed"]),
        Row("export",
            "events/s",
            found["export"],
            found["copy"],
            target=0.7,
            note="the log as files, straight from the database, hashed on the way, on disk at the end; the limit is COPY, "
            "which leaves nothing anywhere"),
        Row("the same, of COPY into a new file on disk", "events/s", found["export"], found["written"]),
        Row("auditor's package",
            "events/s",
            found["package"],
            found["copy"],
            note="of the whole log, over the bus, with its documents and its timeline as HTML and CSV; beside COPY"),
        Row("replay into tables",
            "events/s",
            found["replay"],
            found["insert"],
            target=0.5,
            note="the limit is a bare insert of 1000 events a transaction"),
        *(Row(f"memory, {what}", "MB", values) for what, values in reader.memory.items())
    ]


# ------------------------------------------------------------------------------------------------ growth


CASE = 5000  # number of an application that the appended events are not about


def growth(pace):
    """What an append, a case's view, a page of the log and a proof cost as the log grows, as a ratio to the smallest."""
    sizes = pace.of((10_000, 20_000), (10_000, 100_000, 1_000_000)) + (10_000_000, ) * pace.large
    found, memory = [], []
    with House("growth") as home:
        home.open_call()
        home.load("start", first=CASE, count=1)
        home.start("reporting")
        home.quiet()
        home.stop("intake")
        for size in sizes:
            home.stop("reporting")  # an append's cost is the log's, not that of who hears it on the same cores
            missing = size - log_position(home)
            if missing > 0:
                home.load("append", count=missing, outstanding=1000)
            rates = [
                home.load("append", count=pace.of(3000, 20000), outstanding=64)["rate"]
                for _ in range(pace.rounds)
            ]
            home.start("reporting")
            heard_all(home)
            found.append((size, grown(home, size, rates)))
            memory.append((size, most_memory(home)))
        prove(home)
    rows = []
    for what in found[0][1]:
        if what == "hashes":
            continue
        smallest = measure.middle(found[0][1][what])
        for size, costs in found:
            rows.append(
                Row(f"growth, {what} at {size}",
                    "× smallest", [cost / smallest for cost in costs[what]],
                    target=1.15 if size == sizes[-1] and what != "a proof" else None,
                    of="",
                    better="less"))
    for size, costs in found:
        rows.append(
            Row(f"growth, hashes in a proof at {size}",
                "hashes",
                costs["hashes"],
                target=size.bit_length(),
                of="",
                better="less",
                note="the target is log₂ of the size"))
    for what in memory[0][1]:
        for size, most in memory:
            rows.append(
                Row(f"growth, memory of {what} at {size}",
                    "MB",
                    most[what],
                    target=1.15 * memory[0][1][what][0] if size == sizes[-1] else None,
                    of="",
                    better="less"))
    rows[0].note = f"up to {sizes[-1]} events" + ("" if pace.large else "; --large goes on to ten million")
    return rows


def most_memory(home):
    """What those who read the whole log need at most; and what is rebuilt from it is what lives."""
    reader = Reader(home)
    reader.verify()
    reader.tildel_verify()
    reader.export()
    reader.package()
    reader.replay("reporting")
    same_rows(home, "reporting", reader.rebuilt())
    return reader.memory


TABLES = """SELECT DISTINCT relname FROM pg_class WHERE relnamespace IN (%s::regnamespace, %s::regnamespace) AND relkind IN ('r', 'p')
AND NOT relispartition AND relname NOT LIKE 'loop\\_%%' AND relname <> 'schema_step' ORDER BY relname"""


def same_rows(home, service, rebuilt):
    """Each table of the service holds the same rows where it lives and where it was rebuilt; the rebuilt ones go."""
    rows, events = 0, log_position(home)
    with home.watcher.cursor() as cursor:
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(TABLES, (service, rebuilt))
        for table, in cursor.fetchall():
            live, again = f"TABLE {service}.{table}", f"TABLE {rebuilt}.{table}"
            cursor.execute(f"SELECT (SELECT count(*) FROM ({live}) AS l), (SELECT count(*) FROM ({live} EXCEPT ALL {again}) AS l), "
                           f"(SELECT count(*) FROM ({again} EXCEPT ALL {live}) AS r)")
            there, only_live, only_rebuilt = cursor.fetchone()
            if only_live or only_rebuilt:
                raise Lost(f"{table} of {service}: {only_live} rows are not as the log says, and {only_rebuilt} of the log's are "
                           "not there")
            rows += there
        cursor.execute(f"DROP SCHEMA {rebuilt} CASCADE")
    if rows < events:
        raise Lost(f"{service} was compared in {rows} rows, and the log has {events} events")
    say(f"  {rows} rows of {service} are the same, rebuilt from {events} events")


def grown(home, size, rates):
    """The costs at this size: seconds an append, milliseconds of each query."""
    case = application_id(CASE)
    positions = [1 + (size - 1) * number // 40 for number in range(41)]
    proofs = [asked(home, "eventlog", "eventlog.v1.GetInclusionProof", {"position": at, "size": size}) for at in positions]
    costs = {
        "an append": [1 / rate for rate in rates],
        "a case's view":
        [asked(home, "reporting", "reporting.v1.GetCase", {"application_id": case})[0] for _ in range(101)],
        "a page of 1000":
        [asked(home, "eventlog", "eventlog.v1.Read", {
            "after": at * 9 // 10,
            "limit": 1000
        })[0] for at in positions],
        "a proof": [ms for ms, _ in proofs],
        "hashes": [len(answer["hashes"]) for _, answer in proofs],
    }
    say(f"  {size} events: " + ", ".join(f"{what} {measure.middle(values) * (1e6 if what == 'an append' else 1):.2f}" +
                                          {"an append": " µs", "hashes": ""}.get(what, " ms")
                                          for what, values in costs.items()))
    return costs


def application_id(number):
    """The id of the bench's application with this number: see application_id in client.c."""
    return f"018f0000-{number // 16:04x}-7{number % 16:03x}-8000-{number:012x}"


def heard_all(home):
    """Until reporting stands where the log does."""
    head = log_position(home)
    end = time.monotonic() + 300 + head / 10_000
    while int(home.sql("SELECT coalesce(max(position), 0) FROM reporting.view_moment")) < head:
        if time.monotonic() > end:
            raise stack.Fault("reporting does not keep up with the log")
        time.sleep(0.1)


def asked(home, service, type, query):
    """How long a query takes, reading its answer not included, and the answer."""
    id, body, speaker = str(house.client.uuid.uuid4()), house.contract.encode(type, query), home.speaker
    began = time.monotonic()
    speaker.send([speaker.packet(id, service, type, play.OPERATOR), body])
    packet, data = speaker.receive(30)
    while packet and not (packet.WhichOneof("kind") == "reply" and packet.reply.id == id):
        packet, data = speaker.receive(30)
    took = (time.monotonic() - began) * 1000
    if not packet:
        raise stack.Fault(f"{type} was not answered")
    answer = speaker.opened(packet.reply, data)
    if answer.status != "OK":
        raise stack.Fault(f"{type} was not answered: {answer.reason}")
    return took, answer.body


# ----------------------------------------------------------------------------------------------- idle, memory


def idle(pace):
    """The whole stack at rest, and under load: CPU, memory, and how long it takes to be ready."""
    rows = []
    with House("idle") as home:
        home.open_call()
        home.stop("intake")
        ready = []
        for names in pace.of((stack.SERVICES, ), [(name, ) for name in stack.SERVICES]):
            began = time.monotonic()
            home.start(*names)
            ready.append(time.monotonic() - began)
        everyone = ["broker", "witness", "eventlog", *stack.SERVICES]
        time.sleep(pace.of(1, 4))
        before, began = {name: home.cpu_s(name) for name in everyone}, time.monotonic()
        time.sleep(pace.of(3, 20))
        spent = {name: home.cpu_s(name) - before[name] for name in everyone}
        percent = 100 * sum(spent.values()) / (time.monotonic() - began)
        rest = {name: home.memory_mb(name)[0] for name in everyone}
        home.drafts(pace.of(1500, 20000))
        home.pool.go(home.pool.size, outstanding=256)
        home.quiet()
        home.stage.quiet()
        peak_mb = {name: home.memory_mb(name)[1] for name in everyone}
        prove(home)
    rows.append(
        Row("idle, CPU of all our processes", "% of a core", [percent], target=1, of="", better="less"))
    rows.append(
        Row("idle, start to ready, slowest service", "s", [max(ready)], target=2, of="", better="less"))
    for name in everyone:
        broker = name == "broker"
        rows.append(
            Row(f"memory, {name} idle", "MB", [rest[name]], target=12 if broker else 16, of="",
                better="less"))
        rows.append(
            Row(f"memory, {name} under load",
                "MB", [peak_mb[name]],
                target=12 if broker else 24,
                of="",
                better="less"))
    return rows


CASES = {
    "append": append,
    "deliver": deliver,
    "submit": submit,
    "scale": scale,
    "replay": replay,
    "peak": peak,
    "growth": growth,
    "idle": idle
}

# ----------------------------------------------------------------------------------------------- instructions

COUNTED = 500


def instructions(wanted=tuple(
    (process, outstanding) for process in ("intake", "eventlog", "broker") for outstanding in (1, 64))):
    """Instructions a command and an event in each process on the way: figures that a busy machine does not
    change."""
    lines = []
    for process, outstanding in wanted:
        total = counted(process, int(outstanding))
        lines.append(
            f"{process:10}{outstanding:>5} outstanding {total / COUNTED:12,.0f} instructions a command")
        say("  " + lines[-1])
    return "\n".join(lines) + f"\nprofiles: callgrind_annotate {house.FOLDER}/callgrind-NAME-OUTSTANDING"


def counted(process, outstanding):
    """SaveDraft, and its event, COUNTED times: what one of the processes executes for all of them."""
    with House("instructions") as home:
        out = home.folder / "callgrind"
        home.stack.under = {process: ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]}
        if process != "intake":
            home.stop(process)
            home.start(process)
        home.open_call()
        home.drafts(COUNTED)
        home.quiet()
        pid = str(home.stack.process(process).pid())
        control(pid, "--zero")
        home.pool.go(COUNTED, outstanding=outstanding)
        home.quiet()
        control(pid, "--dump")
        dump = max(home.folder.glob("callgrind.*"), key=lambda path: path.stat().st_mtime)
        shutil.copy(dump, house.FOLDER / f"callgrind-{process}-{outstanding}")
        prove(home)
        return int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.MULTILINE).group(1))


def control(pid, what):
    subprocess.run(["callgrind_control", what, pid],
                   stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL,
                   check=True)
