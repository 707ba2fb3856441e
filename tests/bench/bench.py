"""tests/bench/run: measures every path against the machine's limit and the peers, in one run, and says what
is met."""

import argparse
import pathlib
import signal
import sys
import time

import house
import measure
import cases
from house import stack


def parse():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        allow_abbrev=False,
        description=("Build release binaries, start a PostgreSQL with full durability and the processes of a stack, and "
                     "measure our path, the machine's limit and the peers in turn. Prints a table; the independent checker "
                     "runs after each case."))
    parser.add_argument("--quick",
                        action="store_true",
                        help="fewer and shorter rounds, smaller logs, no peers: about two minutes")
    parser.add_argument("--large",
                        action="store_true",
                        help="growth goes on to ten million events: twenty minutes and 50 GB more")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--instructions",
                        action="store_true",
                        help="instead of time, count instructions a command and an event (valgrind)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of cases: " + ", ".join(cases.CASES))
    parser.epilog = (
        "exit codes: 0 measured, whatever the verdicts; 1 a case lost or doubled something or could not be "
        "run; 2 wrong usage")
    words = parser.parse_args()
    for name in words.names:
        if name not in cases.CASES:
            parser.error(f"there is no case {name}; there are {', '.join(cases.CASES)}")
    if words.quick and words.large:
        parser.error("--quick and --large exclude each other")
    return words


def main():
    words = parse()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))  # what was started is stopped
    began = time.monotonic()
    house.FOLDER.mkdir(parents=True, exist_ok=True)
    measure.say("building release binaries")
    stack.build(house.BUILD, *house.OPTIONS, targets=house.targets())
    if words.instructions:
        print(cases.instructions())
        return 0
    pace = cases.Pace(words.quick, words.large)
    try:
        return measured(words, pace, began)
    finally:
        pace.close()


def measured(words, pace, began):
    rows, failed = [], []
    for name in words.names or list(cases.CASES):
        measure.say(f"{name}: {cases.CASES[name].__doc__.splitlines()[0]}")
        try:
            rows += cases.CASES[name](pace)
        except (stack.Fault, cases.Lost, cases.play.Unexpected) as fault:
            failed.append(f"{name}: {fault}")
            measure.say(f"  {fault}")
    print(measure.table(rows))
    if words.json:
        measure.write_json(rows, words.json)
    for line in failed:
        print(f"FAILED {line}")
    print(f"took {time.monotonic() - began:.0f} seconds; {sum(row.met is True for row in rows)} targets met, "
          f"{sum(row.met is False for row in rows)} not met, {len(failed)} cases failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stack.Fault as fault:
        print(f"tests/bench/run: {fault}", file=sys.stderr)
        sys.exit(1)
