"""deploy/up and deploy/down: the local stack, started and stopped by hand."""

import argparse
import pathlib
import sys

import stack

RUN = stack.ROOT / ".run"
BUILD = stack.ROOT / "build"
# Warnings of a newer compiler than ours are no reason for somebody who only wants to run it to stop.
BUILD_OPTIONS = ["--buildtype=release", "-Dwerror=false"]


def say(line):
    print(line, flush=True)


def up(words):
    local = stack.Stack(words.dir, BUILD)
    local.hold()
    say(f"building in {BUILD}")
    stack.build(BUILD, *BUILD_OPTIONS)
    local.up(words.rehearsal, progress=say)
    say(f"running in {local.folder}; `. {local.folder}/env` gives a shell the settings of tildel, "
        f"deploy/down stops it")


def down(words):
    """Without --dir: whatever runs under .run/, the demo's stack too."""
    folders = [words.dir] if words.dir else [RUN, *sorted(path for path in RUN.glob("*") if path.is_dir())]
    stopped = 0
    for folder in folders:
        local = stack.Stack(folder, BUILD)
        if local.settings() is None or not local.running():
            continue
        say(f"stopping the stack in {local.folder}")
        local.down(progress=say)
        stopped += 1
    if not stopped:
        say("nothing was running")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="deploy/" + arguments[0], allow_abbrev=False)
    if arguments[0] == "up":
        parser.description = ("Build and start broker, event log, six services and the finance connector "
                              "with a private PostgreSQL cluster, as ordinary processes that stay until "
                              "deploy/down.")
        parser.add_argument("--rehearsal", action="store_true",
                            help="a stack whose calendar may be moved; every event is marked, for ever")
        parser.add_argument("--dir", type=pathlib.Path, default=RUN,
                            help="folder for everything it makes (.run)")
    else:
        parser.description = "Stop the local stack, and the demo's if it was kept. Nothing is removed."
        parser.add_argument("--dir", type=pathlib.Path, help="folder of one stack (else all under .run)")
    parser.epilog = "exit codes: 0 done, 1 a fault told in one sentence, 2 wrong usage"
    return parser.parse_args(arguments[1:])


def main(arguments):
    words = parse(arguments)
    try:
        {"up": up, "down": down}[arguments[0]](words)
    except stack.Fault as fault:
        print(f"deploy/{arguments[0]}: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
