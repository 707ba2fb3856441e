"""Containers for the tests: Debian's dockerd where none answers, a base image where no registry does, and houses.

A house is what a stranger gets: the tracked files in a folder of their own, deploy/init, docker-compose. Everything
that is made carries this checkout's mark in its name (project, tag, folder, a label of the swarm), and whoever tests holds
the mark's lock. So what a crashed run left, of this checkout or of another, is found and removed by the next one, and nobody
else's is touched.

Tests may run in lanes side by side (tests/run does that): each has houses of its own, and they share Docker and images.
"""

import atexit
import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".run" / "tests" / "compose"
FAMILY = "tildel-test-"
MARK = FAMILY + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
LOCKS = pathlib.Path("/run/lock")  # of marks
SWARM_LABEL = "tildel.test"        # of the machine whose swarm is a test's; its value is the mark
SUITES = {"debian:bookworm-slim": "bookworm", "debian:trixie-slim": "trixie"}
SERVICES = ["intake", "approval", "evaluation", "allocation", "payment", "reporting"]
EVERYONE = ["postgres", "broker", "witness", "eventlog", *SERVICES, "connector"]
CALM = {"HEALTH_INTERVAL": "60s"}  # tests ask themselves who is well; Docker's looks at a dozen processes cost more than they do
DAEMON_S = 60
READY_S = 60
LANE = os.environ.get("LANE")        # the name of this lane; none where tests run by themselves
KEEP = bool(os.environ.get("KEEP"))  # for who works on these tests: houses stay up, and are used again as they are, until
                                     # another checkout tests here


class Missing(Exception):
    """Why containers can not be tested on this machine, in one sentence."""


class Failed(AssertionError):
    """A command that should have worked, with its last words."""


def run(*words, check=True, timeout=300, input=None, env=None, cwd=None):
    """A command to its end; (exit code, everything it said), or Failed."""
    done = subprocess.run([str(word) for word in words], input=input, env=env, cwd=cwd, timeout=timeout, text=True,
                          stdin=None if input is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace")
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))} ended with {done.returncode}:\n" +
                     "\n".join(done.stdout.strip().splitlines()[-25:]))
    return done.returncode, done.stdout


def docker(*words, check=True, timeout=120, input=None):
    return run("docker", *words, check=check, timeout=timeout, input=input)[1].strip()


def slack():
    """How many times longer than usual a machine that is busy with other things may take; 1 when it is ours alone."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 3)


# ------------------------------------------------------------------------------------------------- the daemon


def missing():
    """The sentence that says why not, or None."""
    if os.geteuid() != 0:
        return "containers are tested by root only; run this as root"
    for program in ("docker", "dockerd", "docker-compose", "debootstrap"):
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return f"{program} is not installed; apt-get install docker.io docker-compose debootstrap"
    return None


def answers():
    return run("docker", "version", "--format", "{{.Server.Version}}", check=False, timeout=30)[0] == 0


class Daemon:
    """The dockerd that answers, or one of our own while it is needed."""

    LOG = FOLDER / "dockerd.log"

    def __init__(self):
        self.process = None

    def start(self):
        if answers():
            return
        with open(self.LOG, "wb") as out:
            self.process = subprocess.Popen(["dockerd", "--pidfile", str(FOLDER / "dockerd.pid")], stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL, start_new_session=True,
                                            env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        end = time.monotonic() + DAEMON_S
        while not answers():
            if self.process.poll() is not None or time.monotonic() > end:
                words = self.LOG.read_text(errors="replace").strip().splitlines() or ["nothing"]
                self.stop()
                raise Missing(f"no Docker daemon answers, and dockerd does not start here; it says: {words[-1]}")
            time.sleep(0.2)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@contextlib.contextmanager
def ready():
    """A Docker that answers, swept before and after; Missing where there can be none. In a lane, whoever began the lanes
    has seen to it."""
    why = missing()
    if not why and LANE and not answers():
        why = f"no Docker daemon answers; see {Daemon.LOG}"
    if why:
        raise Missing(why)
    if LANE:
        yield
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    daemon = Daemon()
    with held(MARK):
        daemon.start()
        try:
            if not KEEP:
                sweep()
            yield
            if not KEEP:
                sweep()
        finally:
            daemon.stop()


@contextlib.contextmanager
def held(mark, wait=True):
    """The lock of a mark, from now to the end of this block or process; BlockingIOError when somebody has it and we do not
    wait. A second run of one checkout waits for the first."""
    with open(LOCKS / mark, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def left(name):
    """True when what has this name is a test's, and nobody tests there any more: ours before we began, or of a run that was
    killed."""
    mark = name[:len(MARK)]
    if not name.startswith(FAMILY) or mark == MARK:
        return mark == MARK
    try:
        with held(mark, wait=False):
            return True
    except BlockingIOError:
        return False


@contextlib.contextmanager
def alone(what):
    """One lane at a time; the others wait."""
    with open(FOLDER / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ------------------------------------------------------------------------------------------------ base images


def mirror():
    """Where this machine's apt gets Debian from."""
    code, told = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(LABEL)", "Identifier: Packages",
                     check=False)
    for line in told.splitlines() if code == 0 else []:
        address, component, *label = line.split()
        if component == "main" and label == ["Debian"]:
            return address
    return "http://deb.debian.org/debian"


def image_there(name):
    return run("docker", "image", "inspect", name, check=False)[0] == 0


def ensure_base(name, say):
    """The image is here: it was, a registry has it, or it is made from Debian's packages. It stays for later runs."""
    if image_there(name):
        return
    try:
        if run("docker", "pull", name, check=False, timeout=60)[0] == 0:
            return
    except subprocess.TimeoutExpired:
        pass
    suite, source = SUITES[name], mirror()
    say(f"no registry has {name}; making it from {source} with debootstrap")
    root = FOLDER / f"base-{suite}"
    shutil.rmtree(root, ignore_errors=True)
    try:
        run("debootstrap", "--variant=minbase", suite, root, source, timeout=900)
        for kept in (root / "var/cache/apt/archives", root / "var/lib/apt/lists"):
            shutil.rmtree(kept, ignore_errors=True)
        pack = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", name], stdin=pack.stdout, stdout=subprocess.DEVNULL, check=True)
        if pack.wait() != 0:
            raise Failed(f"tar could not pack {root}")
    finally:
        shutil.rmtree(root, ignore_errors=True)


# ----------------------------------------------------------------------------------------------------- sweeping


def marked(*what):
    """Names of containers, volumes or networks that a test left."""
    listed = docker(*what, "--format", '{{.Label "com.docker.compose.project"}}{{.Label "com.docker.stack.namespace"}} {{.' +
                    ("Name" if what[0] != "ps" else "ID") + "}}")
    return [words[1] for words in map(str.split, listed.splitlines()) if len(words) == 2 and left(words[0])]


def sweep():
    """What a run made and did not remove, because it was killed. Layers stay: they make the next build quick."""
    leave_swarm()
    for kind, remove in ((["ps", "-a"], ["rm", "-f", "-v"]), (["volume", "ls"], ["volume", "rm", "-f"]),
                         (["network", "ls"], ["network", "rm"])):
        names = marked(*kind)
        if names:
            docker(*remove, *names, check=False)
    for image in docker("images", "--filter", f"reference=tildel/*:{FAMILY}*", "--format",
                        "{{.Repository}}:{{.Tag}}").split():
        if left(image.split(":")[1]):
            docker("rmi", "--no-prune", image, check=False)
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if str(FOLDER) in line.split()[1]:
            run("umount", line.split()[1], check=False)
    for folder in FOLDER.glob("house-*"):
        shutil.rmtree(folder, ignore_errors=True)
    prune()


def swarm():
    """The mark of the test that made this machine a swarm; "" when it is in none, None when it is in somebody's."""
    if docker("info", "-f", "{{.Swarm.LocalNodeState}}") == "inactive":
        return ""
    code, mark = run("docker", "node", "inspect", "self", "-f", f'{{{{index .Spec.Labels "{SWARM_LABEL}"}}}}', check=False)
    return mark.strip() or None if code == 0 else None


def make_swarm():
    """Of this machine alone."""
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    docker("node", "update", "--label-add", f"{SWARM_LABEL}={MARK}", docker("node", "ls", "-q"))


def leave_swarm():
    """One that a test left."""
    mark = swarm()
    if mark and left(mark):
        for name in docker("stack", "ls", "--format", "{{.Name}}", check=False).split():
            docker("stack", "rm", name, check=False)
        docker("swarm", "leave", "--force", check=False)


def prune():
    """Layers of Tildel's images that no tag names and that are older than three days."""
    docker("image", "prune", "-f", "--filter", "label=org.opencontainers.image.title=tildel", "--filter", "until=72h",
           check=False)


# ------------------------------------------------------------------------------------------------------- houses


def tracked():
    """What a stranger's clone would hold, as it lies here now."""
    code, listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", check=False)
    if code != 0:
        raise Missing("this is no git checkout, so nobody can say what a stranger would get")
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def clone(folder):
    """What a stranger has before the first step."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def gateway():
    """This machine as containers of any network reach it: what it publishes there is published to another machine, as far as
    they can tell."""
    subnet = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge")
    return str(ipaddress.ip_network(subnet)[1])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Cluster:
    """What the checker needs of a PostgreSQL: its address, for the one who reads everything and writes nothing."""

    def __init__(self, house):
        self.house = house

    def url(self, *unused):
        given = urllib.parse.urlsplit((self.house.folder / ".secrets" / "auditor.url").read_text().strip())
        if given.hostname != "postgres":
            return given.geturl()
        host = self.house.address("postgres", "database")
        return urllib.parse.urlunsplit(given._replace(netloc=given.netloc.replace("postgres:", host + ":")))


class House:
    """One stack of containers from a stranger's clone."""

    def __init__(self, name, base="debian:bookworm-slim", tag=MARK, settings=None):
        self.name = name
        self.project = f"{MARK}-{name}"
        self.folder = FOLDER / f"house-{name}"
        self.base, self.tag = base, tag
        self.port = free_port()
        self.settings = settings or {}
        self.commit = commit()
        self.cluster = Cluster(self)
        self.died = self.watcher = None
        self.joined = {}        # service -> (container, network) it was cut from

    # Making.

    def environment(self):
        """What a command run by hand would have: nothing of ours that could stand in for .env."""
        kept = {name: os.environ[name] for name in ("HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ}
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **kept}

    def clone(self):
        clone(self.folder)

    def init(self, *words, check=True, **given):
        """deploy/init as the README tells; its image carries our tag from the start."""
        wanted = {"COMPOSE_PROJECT_NAME": self.project, "VERSION": self.tag, "POSTGRES_VERSION": self.tag, "COMMIT": self.commit, "BASE": self.base,
                  "BUILD_NETWORK": "host", "BROKER_PORT": f"127.0.0.1:{self.port}", "DEBTOR_NAME": "Direktoratet",
                  "DEBTOR_ACCOUNT": "12340000011", "DEBTOR_BIC": "DNBANOKK", **self.settings}
        told = run(self.folder / "deploy" / "init", *words, check=check, timeout=1200,
                   env={**self.environment(), **wanted, **given})
        if (self.folder / ".env").exists():
            self.write(**wanted)
        return told

    def write(self, **settings):
        """Settings as an operator's editor would leave them in .env."""
        path = self.folder / ".env"
        lines = [line for line in path.read_text().splitlines() if line.split("=")[0] not in settings]
        path.write_text("\n".join(lines + [f"{name}={value}" for name, value in settings.items()]) + "\n")

    def make(self, *words, say=print):
        """A stranger's first two steps: deploy/init and, where nobody has built this tag yet, the images."""
        self.clone()
        with alone(f"images-{self.tag}"):
            ensure_base(self.base, say)
            self.init(*words)
            if not all(image_there(f"tildel/{name}:{self.tag}") for name in [*EVERYONE, "console"]):
                say(f"building the images on {self.base}")
                self.compose("build", timeout=1200)
        return self

    def keep(self):
        """True when this house stands already, from an earlier run; its port is where it was."""
        for line in (self.folder / ".env").read_text().splitlines() if (self.folder / ".env").exists() else []:
            if line.startswith("BROKER_PORT="):
                self.port = int(line.rsplit(":", 1)[1])
            elif line.startswith("COMMIT="):
                self.commit = line.split("=")[1]
        return bool(self.ids("broker"))

    # Commands.

    def compose(self, *words, check=True, timeout=300, input=None):
        """(exit code, what it said)."""
        return run("docker-compose", *words, check=check, timeout=timeout, input=input, cwd=self.folder,
                   env=self.environment())

    def up(self, *words, timeout=300):
        self.compose("up", "-d", *words, timeout=timeout)

    def tildel(self, *words, check=True, key="console"):
        """The operator's console in its container; with the rehearsal's key it may speak for any person."""
        code, told = run(*self.console(key), *words, check=False, cwd=self.folder, env=self.environment())
        if code in (1, 3) and slack() > 1:  # a fault or silence is no verdict, and may be the machine's
            code, told = run(*self.console(key), *words, check=False, cwd=self.folder, env=self.environment())
        if check and code != 0:
            raise Failed(f"tildel {' '.join(words)} ended with {code}:\n{told}")
        return code, told

    def console(self, key="console"):
        """The command line of it."""
        return ["env", "-C", str(self.folder), f"CONSOLE_KEY={key}", "docker-compose", "run", "--rm", "-T", "console"]

    # Containers.

    def ids(self, service, *options):
        listed = docker("ps", "-q", *options, "--filter", f"label=com.docker.compose.project={self.project}", "--filter",
                        f"label=com.docker.compose.service={service}", "--filter",
                        "label=com.docker.compose.oneoff=False")
        return listed.split()

    def id(self, service):
        """The one container of a service, running or not."""
        only, = self.ids(service, "-a")
        return only

    def inspect(self, service):
        return json.loads(docker("inspect", self.id(service)))[0]

    def network(self, name):
        return f"{self.project}_{name}"

    def address(self, service, network):
        return self.inspect(service)["NetworkSettings"]["Networks"][self.network(network)]["IPAddress"]

    def volume(self, name):
        """Where a named volume lies on this machine."""
        return pathlib.Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"{self.project}_{name}"))

    def execute(self, service, *words, check=True, user=None):
        given = ["-u", user] if user else []
        return run("docker", "exec", *given, self.id(service), *words, check=check)

    def healthy(self, container, service):
        """What the container's own health check says now; Docker asks it only every ten seconds."""
        words = {"postgres": ["pg_isready", "-q", "-h", "/run/postgresql", "-d", "tildel"]}
        return run("docker", "exec", container, *words.get(service, [f"tildel-{service}", "--health"]), check=False,
                   timeout=60)[0] == 0

    def wait_ready(self, services=EVERYONE, seconds=READY_S):
        """Seconds until every container of these services is well by its own health check."""
        began = time.monotonic()
        for service in services:
            while not all(self.healthy(one, service) for one in self.ids(service) or ["none"]):
                if time.monotonic() > began + seconds * slack():
                    raise Failed(f"{service} is not ready after {seconds} s; its last words:\n{self.words(service)}")
                time.sleep(0.2)
        return time.monotonic() - began

    def words(self, service, lines=10):
        return self.compose("logs", "--no-color", f"--tail={lines}", service, check=False)[1]

    def watch(self):
        """From now on, every container of this house that ends is written down; Docker itself remembers only the last
        256 events, most of them health checks."""
        self.died = self.folder / f"died-{os.getpid()}"
        with open(self.died, "ab") as out:
            self.watcher = subprocess.Popen(
                ["docker", "events", "--filter", "event=die", "--filter",
                 f"label=com.docker.compose.project={self.project}", "--format",
                 '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.exitCode}}'],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        atexit.register(self.watcher.terminate)

    def deaths(self):
        """Every container of this house that ended: (service, exit code), in order."""
        time.sleep(0.5)  # the last of them are on their way
        return [(line.split()[0], int(line.split()[1])) for line in self.died.read_text().splitlines()]

    def keep_logs(self):
        """Where the checker looks for what must not be in a log."""
        (self.folder / "log").mkdir(exist_ok=True)
        for service in EVERYONE:
            path = self.folder / "log" / f"{service}.log"
            with open(path, "w") as out:
                for one in self.ids(service, "-a"):
                    out.write(docker("logs", one, check=False))

    # Disturbing.

    def kill(self, service):
        """Without a word, as by a fault of the machine."""
        for one in self.ids(service):
            docker("kill", "-s", "KILL", one)

    def start(self, service):
        docker("start", *self.ids(service, "-a"))

    def cut(self, service):
        """Out of all its networks at once."""
        self.joined[service] = [(one, name) for one in self.ids(service)
                                for name in json.loads(docker("inspect", one))[0]["NetworkSettings"]["Networks"]]
        for one, name in self.joined[service]:
            docker("network", "disconnect", name, one)

    def join(self, service):
        for one, name in self.joined.pop(service):
            docker("network", "connect", "--alias", service, name, one)

    def pause(self, service):
        docker("pause", *self.ids(service))

    def unpause(self, service):
        docker("unpause", *self.ids(service))

    def down(self):
        """Everything of this house is gone."""
        if self.watcher:
            self.watcher.terminate()
            self.watcher.wait(10)
        if (self.folder / "docker-compose.yml").exists():
            paused = docker("ps", "-q", "--filter", "status=paused", "--filter",
                            f"label=com.docker.compose.project={self.project}").split()
            if paused:
                docker("unpause", *paused)
            self.compose("down", "-v", "--remove-orphans", "-t", "5", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def commit():
    code, told = run("git", "-C", ROOT, "rev-parse", "HEAD", check=False)
    return told.strip() if code == 0 else "unknown"


def shuffled(seed):
    order = list(EVERYONE)
    random.Random(seed).shuffle(order)
    return order


class Background(threading.Thread):
    """Work that goes on beside the tests; what went wrong in it is told when it is joined."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.fault = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as fault:
            self.fault = fault

    def done(self, seconds):
        self.join(seconds)
        if self.is_alive():
            raise Failed(f"not done within {seconds} s")
        if self.fault:
            raise self.fault
