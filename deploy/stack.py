"""The local stack: PostgreSQL, broker, event log, six services, connector and (in a rehearsal) the bank's
stand-in, as ordinary processes of one machine, everything they make in one folder.

Used by deploy/up, deploy/down, deploy/demo and the tests. Only Python's own library.
"""

import fcntl
import json
import os
import pathlib
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICES = ["intake", "approval", "evaluation", "allocation", "payment", "reporting"]
SCHEMAS = ["eventlog"] + SERVICES
DATABASE = "tildel"
GRACE_S = 15  # for draining; after that a process is killed
READY_S = 60


class Fault(Exception):
    """Something that the one who runs this should read, in one sentence."""


# ---------------------------------------------------------------------------------------------- building


def build(folder, *options, targets=()):
    """Configure a build folder once and bring it up to date; a failure tells the compiler's last words."""
    folder = pathlib.Path(folder)
    if not (folder / "build.ninja").exists():
        run(["meson", "setup", str(folder), str(ROOT), *options], "configuring the build", quiet=True)
    run(["ninja", "-C", str(folder), *targets], "building", quiet=True)


def run(command, what, env=None, input=None, quiet=False, user=None):
    """Run a command to its end; its output, or a Fault with the last lines of it."""
    done = subprocess.run(command, env=env, input=input, user=user, group=group_of(user), text=True,
                          extra_groups=[] if user is not None else None, stdin=None if input
                          else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT if quiet else subprocess.PIPE)
    if done.returncode != 0:
        words = "\n".join((done.stdout + (done.stderr or "")).strip().splitlines()[-25:])
        raise Fault(f"{what} failed (exit {done.returncode}): {command[0]} said:\n{words}")
    return done.stdout


def group_of(user):
    return pwd.getpwuid(user).pw_gid if user is not None else None


# --------------------------------------------------------------------------------------------- processes


class Process:
    """One running process, known by a pid file, so that another command can stop it later."""

    def __init__(self, name, pid_file):
        self.name = name
        self.pid_file = pathlib.Path(pid_file)
        self.child = None  # our own child, when this very program started it: then it must be reaped

    def start(self, command, env, log, user=None):
        if self.alive():
            raise Fault(f"{self.name} is already running as process {self.pid()}")
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True, user=user, group=group_of(user),
                                          extra_groups=[] if user is not None else None)
        self.pid_file.write_text(f"{self.child.pid} {started_at(self.child.pid)}\n")

    def pid(self):
        try:
            return int(self.pid_file.read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None

    def alive(self):
        """Running and still the one we started: a pid may have been given to another process since."""
        if self.child is not None:
            return self.child.poll() is None
        try:
            pid, started = self.pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return False
        return started_at(int(pid)) == started

    def kill(self, number=signal.SIGKILL):
        if self.alive():
            os.kill(self.pid(), number)
        if number == signal.SIGKILL:
            self.wait(GRACE_S)

    def wait(self, seconds):
        """True when it has ended within the time."""
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        self.pid_file.unlink(missing_ok=True)
        self.child = None
        return True

    def stop(self, number=signal.SIGTERM):
        """Ask it to end, and kill it when it does not. True when it ended as asked."""
        self.kill(number)
        if self.wait(GRACE_S):
            return True
        self.kill()
        return False


def started_at(pid):
    """When a process began, in the kernel's ticks; None when there is none, or only its unreaped remains."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def free_ports(count):
    """Loopback ports that nobody holds now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def lasting_port(taken):
    """A free loopback port below those that the kernel lends out, so that nobody has it when a process that
    was stopped comes back."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            return port


# -------------------------------------------------------------------------------------------- PostgreSQL


class Cluster:
    """A private PostgreSQL cluster: unix socket only, checksums, SCRAM with passwords of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.secrets = self.folder / "secrets"
        self.place_file = self.folder / "postgres.place"
        self.process = Process("postgres", self.folder / "pid" / "postgres")

    def binary(self, name):
        versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                          key=lambda path: int(path.parts[-3]))
        if not versions:
            raise Fault("PostgreSQL is not installed: there is no /usr/lib/postgresql/*/bin/postgres")
        return str(versions[-1].with_name(name))

    def user(self):
        """PostgreSQL refuses to run as root; then it runs as the user that its package made."""
        return pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None

    def place(self):
        """Where data and socket are: here, unless PostgreSQL's user can not get here or the path is too long
        for a socket; then in a folder of its own under /var/tmp."""
        if self.place_file.exists():
            return pathlib.Path(self.place_file.read_text().strip())
        here = self.folder / "postgres"
        if len(str(here)) > 80 or (self.user() is not None
                                   and not all(open_to_all(p) for p in self.folder.parents)):
            here = pathlib.Path(tempfile.mkdtemp(prefix="tildel-postgres-", dir="/var/tmp"))
        here.mkdir(mode=0o700, exist_ok=True)
        if self.user() is not None:
            os.chown(here, self.user(), group_of(self.user()))
            os.chmod(self.folder, self.folder.stat().st_mode | stat.S_IXOTH)
        self.place_file.write_text(f"{here}\n")
        return here

    def start(self, settings=()):
        place = self.place()
        if not (place / "data" / "PG_VERSION").exists():
            self.make(place)
        options = {"listen_addresses": "", "unix_socket_directories": str(place),
                   "unix_socket_permissions": "0700",
                   "max_connections": "60", "shared_buffers": "64MB", "log_statement": "none",
                   "log_parameter_max_length_on_error": "0", **dict(settings)}
        command = [self.binary("postgres"), "-D", str(place / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self.process.start(command, env, self.folder / "log" / "postgres.log", self.user())
        end = time.monotonic() + READY_S
        while not self.ready():
            if not self.process.alive() or time.monotonic() > end:
                raise Fault(f"PostgreSQL did not start; see {self.folder}/log/postgres.log")
            time.sleep(0.05)

    def ready(self):
        # pg_isready asks no password and says only whether the server takes connections.
        return subprocess.run([self.binary("pg_isready"), "-q", "-h", str(self.place())]).returncode == 0

    def make(self, place):
        password = self.password("postgres")
        given = place / "password"
        given.write_text(password + "\n")
        if self.user() is not None:
            os.chown(given, self.user(), group_of(self.user()))
        run([self.binary("initdb"), "-D", str(place / "data"), "-U", "postgres", "--pwfile", str(given),
             "--data-checksums",
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"], "making the database cluster",
            quiet=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, user=self.user())
        given.unlink()

    def stop(self):
        """Fast: open transactions are rolled back, everything committed is kept."""
        return self.process.stop(signal.SIGINT)

    def password(self, role):
        path = self.secrets / f"{role}.password"
        if not path.exists():
            write_secret(path, secrets.token_hex(24))
        return path.read_text()

    def url(self, role, database=DATABASE):
        place = str(self.place()).replace("/", "%2F")
        return f"postgresql://{role}:{self.password(role)}@{place}/{database}"

    def url_file(self, role):
        path = self.secrets / f"{role}.url"
        # Written once: a process that starts now may be reading it.
        if not path.exists() or path.read_text() != self.url(role):
            write_secret(path, self.url(role))
        return str(path)

    def sql(self, text, database=DATABASE, role="postgres"):
        """Run SQL as the superuser; the rows, columns parted by tabs. No password on a command line."""
        passfile = self.secrets / f"{role}.pgpass"
        write_secret(passfile, f"*:*:*:{role}:{self.password(role)}\n")
        return run([self.binary("psql"), "-h", str(self.place()), "-U", role, "-d", database, "-X", "-q",
                    "-A", "-t",
                    "-F", "\t", "-v", "ON_ERROR_STOP=1"], "the database", input=text,
                   env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGPASSFILE": str(passfile)})

    def make_database(self, database=DATABASE):
        if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{database}';", "postgres").strip():
            self.sql(f"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8';", "postgres")
        self.sql((ROOT / "deploy" / "postgres" / "roles.sql").read_text(), database)
        roles = ["tildel_owner", "tildel_auditor"] + ["tildel_" + name for name in SCHEMAS]
        self.sql("".join(f"ALTER ROLE {role} PASSWORD '{self.password(role)}';\n" for role in roles),
                 database)


def open_to_all(path):
    return bool(path.stat().st_mode & stat.S_IXOTH)


def write_secret(path, text):
    """A file that nobody else could read at any moment."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


# ----------------------------------------------------------------------------------------------- the stack


class Stack:
    """All processes of one stack in one folder. The folder keeps the stack's kind, ports, keys and data."""

    def __init__(self, folder, build_folder=None):
        self.folder = pathlib.Path(folder).resolve()
        self.binaries = pathlib.Path(build_folder or ROOT / "build").resolve()
        self.cluster = Cluster(self.folder)
        self.processes = {}
        self.feed = None           # where services find the feed, when not at the event log itself
        self.bank_rejects = []     # accounts whose first payment the bank's stand-in rejects
        self.extra_env = {}        # for every process, for example the sanitizers' options
        self.lock = None
        self.ports = threading.Lock()

    # What the folder remembers.

    def settings(self):
        try:
            return json.loads((self.folder / "settings.json").read_text())
        except FileNotFoundError:
            return None

    def make_folder(self, rehearsal):
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ["log", "pid", "trays", "trays/out", "trays/in", "trays/done", "trays/rejected",
                     "trays/state",
                     "trays/bank"]:
            (self.folder / name).mkdir(exist_ok=True)
        for name in ["secrets", "keys"]:
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        settings = self.settings()
        if settings is None:
            broker, feed = free_ports(2)
            settings = {"rehearsal": rehearsal, "broker": broker, "feed": feed, "build": str(self.binaries)}
            self.keep(settings)
        if settings["rehearsal"] != rehearsal:
            kind = "as a rehearsal" if settings["rehearsal"] else "not as a rehearsal"
            raise Fault(f"the stack in {self.folder} was made {kind} and stays so; "
                        f"give another --dir, or remove that folder")

    def keep(self, settings):
        part = self.folder / "settings.json.part"
        part.write_text(json.dumps(settings, indent=2) + "\n")
        part.rename(self.folder / "settings.json")

    def metrics_bind(self, name):
        """Where a process shows how it is: a port of its own, kept, also for a second instance."""
        with self.ports:
            settings = self.settings()
            ports = settings.setdefault("metrics", {})
            if name not in ports:
                ports[name] = lasting_port(ports.values())
                self.keep(settings)
            return f"127.0.0.1:{ports[name]}"

    def hold(self):
        """One command at a time works on a folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Fault(f"another command is at work on {self.folder}") from None

    # Processes and their environment.

    def process(self, name):
        if name not in self.processes:
            self.processes[name] = Process(name, self.folder / "pid" / name)
        return self.processes[name]

    def running(self):
        names = [path.name for path in (self.folder / "pid").glob("*")] if self.folder.exists() else []
        return [name for name in names if self.process(name).alive() and name != "postgres"] + \
               (["postgres"] if self.cluster.process.alive() else [])

    def binary(self, name):
        program = "tildel" if name == "console" else f"tildel-{name}"
        for folder in [self.binaries / "services", *sorted((self.binaries / "services").glob("*/")),
                       self.binaries]:
            path = folder / program
            if path.is_file():
                return str(path)
        raise Fault(f"{program} has not been built in {self.binaries}")

    def base_env(self):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", **self.extra_env}
        if self.settings()["rehearsal"]:
            env["REHEARSAL"] = str(self.folder / "calendar")  # where the broker keeps it over a restart
        return env

    def env(self, name):
        """The whole environment of a process. A service may have several instances: intake, intake-2, ..."""
        service = name.split("-")[0]
        ports = self.settings()
        key = "finance" if service == "connector" else service
        env = {**self.base_env(), "BUS_NAME": key, "BUS_KEYS": str(self.folder / "keys"),
               "BUS_BROKER": f"tcp://127.0.0.1:{ports['broker']}", "INSTANCE": name,
               "METRICS_BIND": self.metrics_bind(name)}
        if service in SCHEMAS:
            env["DATABASE_URL_FILE"] = self.cluster.url_file("tildel_" + service)
            env["DATABASE_ROLE"] = "tildel_" + service
        if service in SERVICES:
            env["BUS_FEED"] = self.feed or f"tcp://127.0.0.1:{ports['feed']}"
        if service == "eventlog":
            env["FEED_BIND"] = f"tcp://127.0.0.1:{ports['feed']}"
            env["LOG_KEY_FILE"] = str(self.folder / "keys" / "log.key")
        if service == "witness":
            env.update({"BUS_FEED": self.feed or f"tcp://127.0.0.1:{ports['feed']}",
                        "WITNESS_DIR": str(self.folder / "witness"),
                        "WITNESS_KEY_FILE": str(self.folder / "keys" / "witness.key"),
                        "LOG_PUB_FILE": str(self.folder / "keys" / "log.pub")})
        if service == "broker":
            env["BROKER_BIND"] = f"tcp://127.0.0.1:{ports['broker']}"
        if service == "connector":
            trays = self.folder / "trays"
            env.update({"FINANCE_OUT": str(trays / "out"), "FINANCE_IN": str(trays / "in"),
                        "FINANCE_DONE": str(trays / "done"), "FINANCE_REJECTED": str(trays / "rejected"),
                        "FINANCE_STATE": str(trays / "state"),
                        "DEBTOR_NAME": "Integrerings- og mangfoldsdirektoratet",
                        "DEBTOR_ACCOUNT": "12340000011", "DEBTOR_BIC": "DNBANOKK"})
        return env

    def console_env(self):
        """What `tildel` needs, verification, replay and comparison included."""
        ports = self.settings()
        folders = {os.path.dirname(self.binary(name)) for name in SERVICES + ["console"] if self.built(name)}
        return {**self.base_env(), "PATH": ":".join([*sorted(folders), "/usr/local/bin", "/usr/bin", "/bin"]),
                "BUS_NAME": "rehearsal" if ports["rehearsal"] else "console",
                "BUS_KEYS": str(self.folder / "keys"),
                "BUS_BROKER": f"tcp://127.0.0.1:{ports['broker']}",
                "BUS_FEED": f"tcp://127.0.0.1:{ports['feed']}",
                "MIGRATE_URL": self.cluster.url("tildel_owner"),
                "ERASURE_LEDGER": str(self.folder / "erasures"),
                "TILDEL_PROTOSET": str(self.binaries / "proto" / "tildel.protoset")}

    def built(self, name):
        try:
            return bool(self.binary(name))
        except Fault:
            return False

    # Up and down.

    def up(self, rehearsal=False, progress=print, settings=()):
        """Make what is missing and start everything; leaves nothing running when it fails."""
        running = self.running()
        if running:
            raise Fault(f"a stack is already running in {self.folder} ({', '.join(sorted(running))}); "
                        f"stop it with deploy/down")
        self.make_folder(rehearsal)
        try:
            progress("starting a private PostgreSQL cluster")
            self.cluster.start(settings)
            self.cluster.make_database()
            self.make_keys()
            progress("bringing the schemas up to date")
            for name in SCHEMAS:
                self.migrate(name)
            progress("starting broker, event log, its witness, six services and the finance connector")
            for name in self.everyone():
                self.start(name)
            self.wait_ready()
            self.write_env()
        except BaseException:
            self.down(progress=lambda line: None)
            raise

    def everyone(self):
        names = ["broker", "witness", "eventlog", *SERVICES, "connector"]
        return names + ["bank"] if self.settings()["rehearsal"] else names

    def make_keys(self):
        """A key pair for each process, and the public registry of what each may do."""
        kind = ["--rehearsal"] if self.settings()["rehearsal"] else []
        run([self.binary("keys"), str(self.folder / "keys"), *kind], "making keys", env=self.base_env())

    def migrate(self, name):
        env = {**self.env(name), "MIGRATE_URL": self.cluster.url("tildel_owner")}
        run([self.binary(name), "--migrate"], f"bringing the schema of {name} up to date", env=env)

    def start(self, name):
        log = self.folder / "log" / f"{name}.log"
        self.process(name).start(self.command(name), self.env(name), log)

    def command(self, name):
        if name != "bank":
            return [self.binary(name.split("-")[0])]
        trays = self.folder / "trays"
        rejections = [word for account in self.bank_rejects for word in ("--reject-once", account)]
        return [sys.executable, "-B", str(ROOT / "deploy" / "bank"), "--out", str(trays / "out"), "--in",
                str(trays / "in"),
                "--archive", str(trays / "bank"), *rejections]

    def wait_ready(self):
        end = time.monotonic() + READY_S
        for name in self.awaited():
            while not self.healthy(name):
                if not self.process(name).alive():
                    raise Fault(f"{name} ended at once; its last words: {self.last_words(name)}")
                if time.monotonic() > end:
                    raise Fault(f"{name} is not ready after {READY_S} s; see {self.folder}/log/{name}.log")
                time.sleep(0.05)

    def awaited(self):
        return [name for name in self.everyone() if name != "bank"]

    def healthy(self, name):
        return self.health(name).returncode == 0

    def health(self, name, *words):
        """What a process says of itself: exit code 0 or 3, and a sentence."""
        return subprocess.run([self.binary(name.split("-")[0]), "--health", *words], env=self.env(name),
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    def last_words(self, name):
        try:
            lines = (self.folder / "log" / f"{name}.log").read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return "none"
        return lines[-1] if lines else "none"

    def write_env(self):
        """For people: `. .run/env` gives a shell the settings of `tildel`."""
        lines = [f"export {name}='{value}'" for name, value in self.console_env().items()
                 if name not in ("PATH", "TZ", "LC_ALL")]
        path = self.console_env()["PATH"].split(":/usr/local/bin")[0]
        write_secret(self.folder / "env", "\n".join([*lines, f"export PATH='{path}':\"$PATH\"", ""]))

    def down(self, progress=print):
        """Stop all that runs here, in the order that lets each finish; names those it had to kill."""
        first = [name for name in self.running() if name not in ("eventlog", "witness", "broker", "postgres")]
        killed = []
        for name in first:
            self.process(name).kill(signal.SIGTERM)
        for name in first:
            if not self.process(name).stop():
                killed.append(name)
        for name in ["eventlog", "witness", "broker"]:
            if not self.process(name).stop():
                killed.append(name)
        if not self.cluster.stop():
            killed.append("postgres")
        progress("stopped" + (f"; had to kill {', '.join(killed)}" if killed else ""))
        return killed

    def remove(self):
        """Forget everything. Only for a folder that a stack made."""
        if self.settings() is None:
            raise Fault(f"{self.folder} is not a stack's folder; it stays")
        place = self.cluster.place()
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(self.folder)
