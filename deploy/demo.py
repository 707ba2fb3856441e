"""deploy/demo: builds, starts a stack of its own as a rehearsal, plays the call, proves the log."""

import argparse
import base64
import json
import pathlib
import subprocess
import sys
import time

import local
import play
import speak
import stack


def say(line):
    print(line, flush=True)


# ------------------------------------------------------------------------------------------------- figures


def ore(body, name):
    return int(body[f"{name}_ore"])


def applications(cases):
    counted = {}
    for case in cases:
        counted[case["state"]] = counted.get(case["state"], 0) + 1
    return dict(sorted(counted.items()))


def figures(stage):
    """What the extra call came to; all amounts in øre."""
    call = stage.does(play.AUDITOR, "reporting.v1.GetCall", call_id=play.EXTRA)
    payments = stage.does(play.PAYMENTS, "payment.v1.ListPayments", call_id=play.EXTRA).get("payments", [])
    head = stage.does(play.OPERATOR, "eventlog.v1.GetHead")
    told = {name: ore(call, name)
            for name in ("frame", "awarded", "accepted", "lapsed", "paid", "claimed", "repaid", "residual")}
    told.update(events=int(head["position"]), root=base64.b64decode(head["root"]).hex(),
                applications=applications(call["cases"]))
    told["payments"] = [{"key": one["payment_key"], "amount": ore(one, "amount"),
                         "end_to_end_id": one["end_to_end_id"],
                         "state": one["state"], "times_sent": int(one["times_sent"])} for one in payments]
    told["cases"] = [{"id": one["application_id"], "applicant": one["applicant"],
                      "applied": ore(one, "applied"),
                      "awarded": ore(one, "awarded"), "paid": ore(one, "paid"), "state": one["state"]}
                     for one in call["cases"]]
    return told


def table(stage):
    """Every case and every krone, of both calls."""
    for call_id in (play.MAIN, play.EXTRA):
        call = stage.does(play.AUDITOR, "reporting.v1.GetCall", call_id=call_id)
        say(f"\n{call_id}: frame {play.kroner(ore(call, 'frame'))}")
        say(f"  {'applicant':24}{'state':14}{'applied':>14}{'awarded':>14}{'paid':>14}"
            f"{'claimed':>12}{'repaid':>12}")
        for case in sorted(call["cases"], key=lambda one: one["applicant"]):
            amounts = [ore(case, name) for name in ("applied", "awarded", "paid", "claimed", "repaid")]
            widths = (14, 14, 14, 12, 12)
            cells = [(play.kroner(amount)[:-3] if amount else "–").rjust(width) for amount,
                     width in zip(amounts, widths)]
            say(f"  {case['applicant']:24}{case['state']:14}{''.join(cells)}")
        sums = ", ".join(f"{name} {play.kroner(ore(call, name))}"
                         for name in ("awarded", "lapsed", "paid", "claimed", "repaid", "reserved",
                                      "residual"))
        say(f"  {sums}")


def check(told):
    """The krone must end where the play says: every award paid once, and nothing but the frame spent."""
    paid = sum(one["amount"] for one in told["payments"] if one["state"] == "CONFIRMED")
    wrong = [sentence for right, sentence in (
        (told["awarded"] + told["residual"] == told["frame"], "awards and residual are not the frame"),
        (told["paid"] == told["awarded"] == paid, "not every award is paid exactly once"),
        (told["claimed"] == told["repaid"], "a claim is outstanding"),
        (len({one["end_to_end_id"] for one in told["payments"]}) == len(told["payments"]),
         "two payments share an end-to-end id"),
    ) if not right]
    if wrong:
        raise play.Unexpected("; ".join(wrong))


# -------------------------------------------------------------------------------------------------- proof


def tildel(here, *words):
    """Run the console; True when it says 0, False when it found a difference."""
    done = subprocess.run([here.binary("console"), *words], env=here.console_env(), text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 4):
        raise stack.Fault(f"tildel {' '.join(words)} ended with {done.returncode}")
    return done.returncode == 0


def prove(here, told):
    say("\nverify: every leaf, every stream, the tree root")
    told["log_verified"] = tildel(here, "verify")
    say("replay: all six services' tables again, from the log alone")
    tildel(here, "replay", "--into", "audit")
    say("compare: live and rebuilt tables, row by row")
    told["replay_equal"] = tildel(here, "compare", "--with", "audit")


# --------------------------------------------------------------------------------------------------- main


def demo(words, here):
    say(f"building in {local.BUILD}")
    stack.build(local.BUILD, *local.BUILD_OPTIONS)
    cast = json.loads((play.DATA / "cases.json").read_text())
    here.bank_rejects = [facts["account"] for facts in cast.values() if facts.get("bank_rejects")]
    here.up(rehearsal=True, progress=say)
    began = time.monotonic()
    speaker = speak.Speaker([here.binary("console")], here.console_env())
    stage = play.Stage(speaker, say=say)
    play.play(stage)
    say(f"\nplayed in {time.monotonic() - began:.0f} seconds: {stage.done} commands and queries, "
        f"{stage.refusals} refusals")
    told = figures(stage)
    table(stage)
    check(told)
    prove(here, told)
    speaker.close()
    say(f"\n{told['events']} events, root {told['root']}; "
        f"log {'verified' if told['log_verified'] else 'NOT VERIFIED'}, "
        f"replay {'equal' if told['replay_equal'] else 'NOT EQUAL'}")
    if words.json:
        order = ["frame", "awarded", "accepted", "lapsed", "paid", "claimed", "repaid", "residual", "events",
                 "root",
                 "log_verified", "replay_equal", "applications", "payments", "cases"]
        words.json.write_text(json.dumps({name: told[name] for name in order}, ensure_ascii=False,
                                         indent=2) + "\n")
    return 0 if told["log_verified"] and told["replay_equal"] else 1


def parse(arguments):
    parser = argparse.ArgumentParser(prog="deploy/demo", allow_abbrev=False, description=(
        "Play one real call, from announcement to audited accounts, through real services on a private "
        "stack, as a rehearsal: applications, deadline, evaluation, awards, letters, payments through files and "
        "a stand-in for the bank, "
        "reports, repayment; then verify the log, rebuild every table from it, and compare."),
        epilog="exit codes: 0 all as it must be, 1 a fault told in one sentence, 2 wrong usage")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="write the call's figures for programs; amounts in øre")
    parser.add_argument("--keep", action="store_true", help="leave the stack running; deploy/down stops it")
    parser.add_argument("--dir", type=pathlib.Path, default=local.RUN / "demo",
                        help="folder for everything it makes; emptied first (.run/demo)")
    return parser.parse_args(arguments)


def fresh(folder):
    """The play begins with nothing: what an earlier demo left is removed, but nobody else's folder."""
    here = stack.Stack(folder, local.BUILD)
    here.hold()
    if here.running():
        raise stack.Fault(f"a stack is running in {here.folder}; stop it with deploy/down first")
    if here.settings() is not None:
        here.remove()
        here.hold()
    return here


def main(arguments):
    words = parse(arguments)
    here = None
    kept = False
    try:
        here = fresh(words.dir)
        code = demo(words, here)
        kept = words.keep
        return code
    except (stack.Fault, play.Unexpected, ConnectionError) as fault:
        print(f"deploy/demo: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deploy/demo: interrupted", file=sys.stderr)
        return 1
    finally:
        if here and kept:
            say(f"still running in {here.folder}; `. {here.folder}/env` gives a shell its settings, "
                f"deploy/down stops it")
        elif here and here.settings() is not None:
            here.down(progress=say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
