"""What an engineer would otherwise pick, from Debian: started here, measured, stopped. One that answers before the event
is durable says so in its row, and has no target."""

import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import house
from house import stack

# message-db's algorithm, from its description: a position per stream without gaps, taken under an advisory
# lock of the stream's category for the length of the transaction.
MESSAGE_DB = """
CREATE TABLE bench.message (
    global_position bigserial PRIMARY KEY, stream text NOT NULL, position bigint NOT NULL, data bytea NOT NULL,
    UNIQUE (stream, position)) WITH (autovacuum_enabled = off);
CREATE FUNCTION bench.write_message(to_stream text, content bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(split_part(to_stream, '-', 1), 0));
    SELECT coalesce(max(position), -1) + 1 INTO place FROM bench.message WHERE stream = to_stream;
    INSERT INTO bench.message (stream, position, data) VALUES (to_stream, place, content);
    RETURN place;
END
$$;
"""

class Missing(Exception):
    """A peer that is not installed here."""


def program(*names):
    for name in names:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/lib/rabbitmq/bin")
        if found:
            return found
    raise Missing(f"{names[0]} is not installed")


def tool(*words):
    return house.run_tool([house.tool("peers"), *map(str, words)])


class Peer:
    """One program, our child, with its data under .run/bench."""

    name = ""
    note = ""  # "": what it has answered is durable

    def __init__(self):
        self.folder = house.FOLDER / f"peer-{self.name}"
        self.child = self.home = None
        self.port, = stack.free_ports(1)

    def spawn(self, command, env=None):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with open(self.folder.with_suffix(".log"), "wb") as out:
            self.child = subprocess.Popen([str(word) for word in command],
                                          stdin=subprocess.DEVNULL,
                                          stdout=out,
                                          stderr=out,
                                          cwd=self.folder,
                                          env=env,
                                          start_new_session=True)

    def wait(self, look, seconds=60):
        end = time.monotonic() + seconds
        while not look():
            if self.child.poll() is not None or time.monotonic() > end:
                raise Missing(f"{self.name} did not start; see {self.folder}.log")
            time.sleep(0.1)

    def stop(self):
        if self.child:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Peer):
    """Redis Streams, every append synced before it is answered."""

    name = "redis"
    counts = {}  # of events, that took long enough the last time

    def start(self):
        self.spawn([
            program("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder,
            "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"
        ])
        self.wait(lambda: b"PONG" in self.ask("ping"))

    def ask(self, *words):
        return subprocess.run([program("redis-cli"), "-p", str(self.port), *words],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def rate(self, outstanding, seconds):
        count = self.counts.get(outstanding, 3000)
        while True:  # redis-benchmark takes a count, not a time
            began = time.monotonic()
            done = subprocess.run([
                program("redis-benchmark"), "-p",
                str(self.port), "-c",
                str(outstanding), "-n",
                str(count), "--csv", "XADD", "events", "*", "d", "x" * 600
            ],
                                  stdout=subprocess.PIPE,
                                  text=True,
                                  check=True)
            took = time.monotonic() - began
            if took > seconds * 0.6:
                self.ask("del", "events")
                self.counts[outstanding] = count
                return float(done.stdout.strip().splitlines()[-1].split('","')[1].strip('"'))
            count = int(count * min(20, seconds * 1.2 / max(took, 0.05)))

    def deliver(self, rate, seconds):
        return tool("deliver", "redis", self.port, rate, seconds)


class Nats(Peer):
    """NATS JetStream, synced always where it can be told to (from 2.10)."""

    name = "nats"

    def start(self):
        server = program("nats-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder.with_suffix(".conf")

        def configure(more):
            config.write_text(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder}/js"{more} }}\n')
            return subprocess.run([server, "-t", "-c", config], capture_output=True).returncode == 0

        if not configure(", sync_interval: always"):
            configure("")
            self.note = ("not durable by default: this nats-server knows no sync_interval: always, and answers up to two "
                         "minutes before it syncs; no peer to compare with")
        self.spawn([server, "-c", config])
        self.wait(self.takes_us)

    def takes_us(self):
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def rate(self, outstanding, seconds):
        return tool("append", "nats", self.port, outstanding, seconds)["rate"]

    def deliver(self, rate, seconds):
        return tool("deliver", "nats", self.port, rate, seconds)


class Rabbit(Peer):
    """RabbitMQ, a quorum queue of one node with publisher confirms."""

    name = "rabbitmq quorum"
    queue = "quorum"

    def start(self):
        if not pathlib.Path(house.tool("peers")).exists():
            raise Missing("librabbitmq is not installed")
        server = program("rabbitmq-server")
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tildel-rabbit-", dir="/var/tmp"))
        other, = stack.free_ports(1)
        self.env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(other),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "plugins"),
            "RABBITMQ_SERVER_START_ARGS": ""
        }
        shutil.chown(self.home, "rabbitmq", "rabbitmq")
        command = [
            "setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--clear-groups",
            "/usr/lib/rabbitmq/bin/rabbitmq-server"
        ]
        self.spawn(command if pathlib.Path(command[-1]).exists() else [server], self.env)
        self.wait(self.takes_us)

    def takes_us(self):
        done = subprocess.run([house.tool("peers"), "append", "rabbit",
                               str(self.port), "1", "0.1", self.queue],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def rate(self, outstanding, seconds):
        return tool("append", "rabbit", self.port, outstanding, seconds, self.queue)["rate"]

    def deliver(self, rate, seconds):
        return tool("deliver", "rabbit", self.port, rate, seconds, self.queue)

    def stop(self):
        super().stop()
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)


class RabbitStream(Peer):
    """A stream in the same RabbitMQ."""

    name = "rabbitmq stream"
    note = "not durable when it confirms: a stream is not synced for it; no peer to compare with"

    def __init__(self, rabbit):
        super().__init__()
        self.rabbit = rabbit

    def start(self):
        if not self.rabbit.child:
            raise Missing("rabbitmq could not be started")

    def rate(self, outstanding, seconds):
        return tool("append", "rabbit", self.rabbit.port, outstanding, seconds, "stream")["rate"]

    def deliver(self, rate, seconds):
        return tool("deliver", "rabbit", self.rabbit.port, rate, seconds, "stream")


class MessageDb:
    """message-db's algorithm in our own PostgreSQL, each connection with a category of its own."""

    name = "message-db"
    note = ""

    def __init__(self, home):
        self.house = home

    def start(self):
        self.house.sql(MESSAGE_DB)

    def rate(self, outstanding, seconds):
        return pgbench(
            self.house, "SELECT bench.write_message(concat('c', :client_id::int, '-1'), "
            "decode(repeat('78', 600), 'hex'));", min(outstanding, 64), seconds)["rate"]

    def deliver(self, rate, seconds):
        return house.run_tool(
            [house.tool("limits"), "message-db",
             self.house.stack.cluster.url("postgres"),
             str(rate),
             str(seconds)])

    def stop(self):
        pass


def pgbench(home, script, clients, seconds):
    """PostgreSQL's own load generator with a script: transactions a second. Its time begins before all have
    connected, so many clients get more of it."""
    path = home.folder / "pgbench.sql"
    path.write_text(script + "\n")
    passfile = home.stack.secrets_of("postgres")
    done = subprocess.run([
        home.stack.cluster.binary("pgbench"), "-n", "-M", "prepared", "-h",
        str(home.stack.cluster.place()), "-U", "postgres", "-c",
        str(clients), "-j", "2", "-T",
        str(max(1, round(seconds)) + clients // 32), "-f",
        str(path), stack.DATABASE
    ],
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          text=True,
                          env={
                              "PATH": "/usr/bin:/bin",
                              "LC_ALL": "C.UTF-8",
                              "PGPASSFILE": passfile
                          })
    for line in done.stdout.splitlines():
        if line.startswith("tps ="):
            return {"rate": float(line.split()[2])}
    if done.returncode == 0 and seconds < 60:  # so busy a machine that nothing was done in the time
        return pgbench(home, script, clients, seconds * 4)
    raise stack.Fault(f"pgbench failed: {done.stderr.strip()[-300:]}")


class Peers:
    """Those that can be started; the others are told of."""
    def __init__(self, *all):
        self.all, self.running, self.missing = all, [], []

    def __enter__(self):
        for peer in self.all:
            try:
                peer.start()
                self.running.append(peer)
            except (Missing, subprocess.CalledProcessError, OSError) as why:
                self.missing.append((peer.name, str(why)))
                peer.stop()
        return self

    def __exit__(self, *unused):
        for peer in self.running:
            peer.stop()

    def notes(self):
        return {peer.name: peer.note for peer in self.running}

    def parts(self, outstanding, seconds):
        return {peer.name: lambda peer=peer: peer.rate(outstanding, seconds) for peer in self.running}
