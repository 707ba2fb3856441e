"""Writer and witness, killed at every system call on the way of an append and of a cosignature; and the power lost there."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import uuid

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "tests" / "evidence"
# A leak cannot be looked for while another process traces.
CALM = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
CALL = re.compile(r"^\d+ +([a-z0-9_]+)\(")
# Memory and signals are the C library's own business, and no step of ours.
NOT_OURS = {"mmap", "munmap", "mprotect", "brk", "rt_sigaction", "rt_sigprocmask", "getrandom", "futex", "execve",
            "exit_group", "madvise", "clock_gettime"}


def run(command, strace=(), check=True):
    done = subprocess.run([*strace, *map(str, command)], env=CALM, text=True, timeout=120, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert not check or done.returncode == 0, done.stderr
    return done


def points(command, trace, marker=None):
    """Each system call of a run, as (name, n-th of that name), after a line that the program wrote."""
    run(command, ["strace", "-f", "-o", str(trace)])
    counted, found, begun = {}, [], marker is None
    for line in trace.read_text(errors="replace").splitlines():
        call = CALL.match(line)
        if not call:
            continue
        name = call.group(1)
        counted[name] = counted.get(name, 0) + 1
        if begun and name not in NOT_OURS:
            found.append((name, counted[name]))
        begun = begun or f'"{marker}' in line
    return found


def killed(command, name, n):
    """Run until the n-th call of that name begins."""
    return run(command, ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                         f"inject={name}:signal=KILL:when={n}"], check=False)


def numbers(output, word):
    return [int(number) for number in re.findall(rf"^{word} (\d+)$", output, re.MULTILINE)]


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
def test_a_witness_killed_anywhere_has_stored_what_it_told(tmp_path):
    tool = TOOLS / "evidence_witness_steps"
    found = points([tool, tmp_path / "whole"], tmp_path / "trace")
    assert len(found) > 40
    for number, (name, n) in enumerate(found):
        folder = tmp_path / f"{number}"
        told = numbers(killed([tool, folder], name, n).stdout, "cosigned")
        after = run([tool, folder])  # opens what is there, and goes on to the end
        first = numbers(after.stdout, "cosigned")[0]
        assert first >= max(told, default=0), f"killed at {name} {n}"
        assert numbers(after.stdout, "cosigned")[-1] == 12
        shutil.rmtree(folder)


class Disk:
    """What a machine that loses its power may leave of a folder: what was made durable, and of what came after that anything."""

    def __init__(self):
        self.durable, self.pending = {}, {}  # file: its bytes; file: (place, bytes), or (size, None) for a cut
        self.names, self.new = set(), set()  # that are durable, and that are not yet
        self.open = {}  # descriptor: file, or None for the folder itself

    def does(self, name, words, result):
        """One system call of a run, its words as strace tells them."""
        if name == "openat" and result >= 0:
            file = pathlib.Path(text_of(words[1]).decode()).name
            self.open[result] = None if "O_DIRECTORY" in words[2] else file
            if "O_CREAT" in words[2] and file not in self.names:
                self.new.add(file)
        elif name == "close":
            self.open.pop(int(words[0]), None)
        elif name == "pwrite64" and result > 0:
            self.wrote(int(words[0]), int(words[3]), text_of(words[1])[:result])
        elif name == "ftruncate":
            self.wrote(int(words[0]), int(words[1]), None)
        elif name in ("fsync", "fdatasync") and result == 0:
            self.synced(self.open[int(words[0])])

    def wrote(self, descriptor, place, data):
        self.pending.setdefault(self.open[descriptor], []).append((place, data))

    def synced(self, file):
        if file is None:
            self.names, self.new = self.names | self.new, set()
        else:
            self.durable[file] = self.after(file, self.pending.pop(file, []))

    def after(self, file, changes):
        data = bytearray(self.durable.get(file, b""))
        for place, new in changes:
            if new is None:
                del data[place:]
                data.extend(bytes(place - len(data)))
            else:
                data.extend(bytes(max(0, place - len(data))))
                data[place:place + len(new)] = new
        return bytes(data)

    def left(self, chance, folder):
        """Make the folder as the power cut leaves it: this time."""
        folder.mkdir()
        for file in self.names | {one for one in self.new if chance.random() < 0.5}:
            changes = self.pending.get(file, [])
            kept = [part for change in changes for part in self.some_of(chance, change)]
            (folder / file).write_bytes(self.after(file, kept))

    @staticmethod
    def some_of(chance, change):
        """All of a change, nothing, its beginning, its end behind zeros, zeros in its midst, or the length alone."""
        place, data = change
        fate = chance.randrange(6)
        if fate == 0 or (data is None and fate < 3):
            return [change]
        if fate == 1 or data is None:
            return []
        cut = chance.randrange(len(data) + 1)
        until = chance.randrange(cut, len(data) + 1)
        return [[(place, data[:cut])], [(place + cut, data[cut:])], [(place, bytes(len(data)))],
                [(place, data[:cut] + bytes(until - cut) + data[until:])]][fate - 2]


def text_of(word):
    return bytes.fromhex(word.strip('"').replace("\\x", ""))


def calls_of(trace):
    """(name, words, result) of each call of a trace that shows everything in hexadecimal."""
    for line in trace.read_text().splitlines():
        call = re.match(r"^\d+ +([a-z0-9_]+)\((.*)\) += (-?\d+)", line)
        if call:
            yield call.group(1), call.group(2).split(", "), int(call.group(3))


@needs_strace
def test_a_witness_whose_machine_loses_its_power_anywhere_has_stored_what_it_told(tmp_path):
    """What was not made durable may be there, or in part, or not: in any order."""
    tool, chance = TOOLS / "evidence_witness_steps", random.Random(12)
    run([tool, tmp_path / "whole"], ["strace", "-f", "-xx", "-s", "1000000", "-o", str(tmp_path / "trace"), "-e",
                                     "trace=openat,close,pwrite64,ftruncate,fsync,fdatasync,write"])
    disk, told, cuts = Disk(), 0, 0
    for name, words, result in calls_of(tmp_path / "trace"):
        if name == "write" and words[0] == "1":
            told = max(numbers(text_of(words[1]).decode(), "cosigned"), default=told)
        disk.does(name, words, result)
        if name not in ("pwrite64", "ftruncate", "fsync", "fdatasync", "write"):
            continue
        for _ in range(12):
            cuts += 1
            folder = tmp_path / f"{cuts}"
            disk.left(chance, folder)
            after = run([tool, folder])
            assert numbers(after.stdout, "cosigned")[0] >= told, f"power lost after {name}, call {cuts}"
            assert numbers(after.stdout, "cosigned")[-1] == 12
            shutil.rmtree(folder)
    assert told == 12 and cuts > 60


@needs_strace
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "fsync"])
def test_a_witness_whose_disk_fails_tells_nothing(tmp_path, call):
    tool = TOOLS / "evidence_witness_steps"
    for n in range(1, 30):
        folder = tmp_path / f"{n}"
        done = run([tool, folder], ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                    f"inject={call}:error=EIO:when={n}"], check=False)
        if done.returncode == 0:  # there is no n-th call any more
            assert n > 1
            return
        assert done.returncode == 1 and "Input/output error" in done.stderr
        after = run([tool, folder])
        assert numbers(after.stdout, "cosigned")[0] >= max(numbers(done.stdout, "cosigned"), default=0)
    raise AssertionError("the calls never ended")


@pytest.fixture
def schema():
    url = os.environ.get("CHECK_DATABASE_URL")
    if not url:
        pytest.skip("CHECK_DATABASE_URL names no database")
    connection = psycopg2.connect(url)
    connection.autocommit = True
    made = []

    def make():
        made.append(f"kill_{uuid.uuid4().hex[:12]}")
        run([TOOLS / "evidence_writer_steps", made[-1], "make"])
        return made[-1]

    yield make
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
    connection.close()


@needs_strace
def test_a_writer_killed_anywhere_has_stored_what_it_acknowledged(tmp_path, schema):
    tool = TOOLS / "evidence_writer_steps"
    found = points([tool, schema(), "run"], tmp_path / "trace", marker="ready")
    assert len(found) > 20
    log = schema()
    for name, n in found:
        # Every third point on a log of its own; the others go on with what the killed one left.
        if n % 3 == 0:
            log = schema()
        done = killed([tool, log, "run"], name, n)
        after = run([tool, log, "check"])
        stored, signed = max(numbers(done.stdout, "stored"), default=0), max(numbers(done.stdout, "signed"), default=0)
        assert numbers(after.stdout, "ready")[0] >= stored, f"killed at {name} {n}"
        assert numbers(after.stdout, "signed")[0] >= signed, f"killed at {name} {n}"
        assert '"verified":true' in after.stdout
    last = run([tool, log, "run"])
    assert numbers(last.stdout, "stored")[-1] == 12  # each event once, in its place
