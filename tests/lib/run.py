"""tests/run: builds with sanitizers, starts a PostgreSQL, runs every test, stops everything, counts."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent import futures

TESTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
sys.path.insert(0, str(ROOT / "deploy"))

import containers  # noqa: E402
import stack  # noqa: E402

BUILD = ROOT / "build-test"
FOLDER = ROOT / ".run" / "tests"
OPTIONS = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
ENDED = (0, 1, 5)  # pytest came to its end: all passed, some failed, none was chosen
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def say(line):
    print(line, flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="tests/run", allow_abbrev=False, description=(
        "Build with AddressSanitizer and UBSan, start a private PostgreSQL, run the tests of rules, stores and "
        "modules, then the journeys and faults through real processes, then the containers of docker-compose.yml in lanes "
        "side by side; "
        "stop everything. Closes with 'N passed, N failed'."))
    parser.add_argument("--quick", action="store_true",
                        help="without the journeys and faults through real processes, and without containers")
    parser.add_argument("words", nargs="*",
                        help="only journeys, faults and containers whose names contain these words (pytest -k); "
                             "compose, as the first word, stands for all of the containers and nothing else")
    parser.epilog = "exit codes: 0 all passed, 1 something failed or could not be run, 2 wrong usage"
    return parser.parse_args()


class Database:
    """The PostgreSQL that tests of stores use, and whoever kills the log's writer; each test makes and drops a schema of its
    own."""

    def __init__(self):
        self.folder = FOLDER / "database"
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ["log", "pid"]:
            (self.folder / name).mkdir(parents=True)
        (self.folder / "secrets").mkdir(mode=0o700)
        self.cluster = stack.Cluster(self.folder)

    def __enter__(self):
        # What is lost with the machine is no loss here; durability is tested by the faults.
        self.cluster.start({"fsync": "off", "synchronous_commit": "off"})
        return self.cluster.url("postgres", "postgres")

    def __exit__(self, *unused):
        self.cluster.stop()
        shutil.rmtree(self.cluster.place(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def counted(report):
    """Passed, failed and skipped of a JUnit file; a file that is missing is one failure."""
    passed = failed = skipped = 0
    if not report.exists():
        return 0, 1, 0
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            say(f"FAILED: {case.get('classname', '')} {case.get('name')}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def unit_tests(url):
    env = {**os.environ, **SANITIZERS, "CHECK_DATABASE_URL": url}
    subprocess.run(["meson", "test", "-C", str(BUILD), "--no-rebuild", "--print-errorlogs"], env=env,
                   stdin=subprocess.DEVNULL)
    return counted(BUILD / "meson-logs" / "testlog.junit.xml")


def journeys(words, url):
    """Two files at a time, the longest first, each with houses of its own: most of a house's time is waiting."""
    report = FOLDER / "journeys.xml"
    report.unlink(missing_ok=True)
    choice = ["-k", " or ".join(words)] if words else []
    folders = [str(path) for path in (TESTS / name for name in ["fault", "evidence", "contract", "journey"])
               if path.is_dir()]
    env = {**os.environ, **SANITIZERS, "BUILD": str(BUILD), "CHECK_DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    shutil.rmtree(FOLDER / "stacks", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "-n", "2",
                    "--dist", "loadfile", f"--basetemp={FOLDER / 'stacks'}", f"--junitxml={report}", *choice,
                    *folders],
                   env=env, cwd=TESTS, stdin=subprocess.DEVNULL)
    sweep()
    return counted(report)


# The tests of containers, in lanes side by side: most of a house's time is waiting, so they fit on two processors.
LANES = {"night": ["test_images", "test_mistakes", "test_disturbed", "test_outside_postgres", "test_bases"],
         "years": ["test_call", "test_keeping"],
         "swarm": ["test_left", "test_swarm"]}


def in_containers(words):
    """The shipped docker-compose.yml; where containers can not be tested, every test is skipped and says why."""
    for test in (TESTS / "compose").glob("test_*.py"):
        if sum(files.count(test.stem) for files in LANES.values()) != 1:
            raise stack.Fault(f"{test.name} of tests/compose must stand in one of the LANES, and only there")
    try:
        with containers.ready():
            return side_by_side(LANES, words)
    except containers.Missing:
        return side_by_side({"containers": ["."]}, words)


def side_by_side(lanes, words):
    with futures.ThreadPoolExecutor(len(lanes)) as pool:
        return list(pool.map(lambda name: lane(name, lanes[name], words), lanes))


def lane(name, files, words):
    """One pytest, what it says line by line behind its name. One that did not come to its end is a failure more."""
    report = FOLDER / f"compose-{name}.xml"
    report.unlink(missing_ok=True)
    choice = ["-k", " or ".join(words)] if words else []
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", f"--junitxml={report}", *choice,
         *(str((TESTS / "compose" / one).with_suffix(".py" if one != "." else "")) for one in files)],
        env={**os.environ, "LANE": name, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}, cwd=TESTS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in tests.stdout:
        if line.strip():
            say(f"{name} | {line.rstrip()}")
    passed, failed, skipped = counted(report)
    if tests.wait() not in ENDED and not failed:
        say(f"FAILED: {name} ended with {tests.returncode}")
        failed = 1
    return passed, failed, skipped


def sweep():
    """A test stops its stack itself; what is left of a run that crashed is stopped here."""
    for settings in (FOLDER / "stacks").glob("**/settings.json"):
        left = stack.Stack(settings.parent, BUILD)
        if left.running():
            say(f"stopping what a crashed test left in {left.folder}")
            left.down(progress=say)
        left.remove()


def processes(words):
    """Units, and real processes of this machine."""
    results = []
    say("building with sanitizers")
    stack.build(BUILD, *OPTIONS)
    with Database() as url:
        if not words.words:
            results.append(unit_tests(url))
        if not words.quick:
            results.append(journeys(words.words, url))
    return results


def main():
    words = parse()
    began = time.monotonic()
    results = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    if words.words[:1] == ["compose"]:
        results += in_containers(words.words[1:])
    else:
        results += processes(words)
        if not words.quick:
            results += in_containers(words.words)
    passed, failed, skipped = (sum(column) for column in zip(*results))
    say(f"took {time.monotonic() - began:.0f} seconds" + (f"; {skipped} could not be run here" if skipped
                                                          else ""))
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stack.Fault as fault:
        print(f"tests/run: {fault}", file=sys.stderr)
        print("0 passed, 1 failed")
        sys.exit(1)
