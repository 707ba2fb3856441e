"""As of: what was known at an earlier position, answered from replayed state, and nothing is left behind."""

import contextlib
import signal
import time

import psycopg2
import pytest

import console
import play


def left(house):
    return [name for name in console.schemas(house) if name.startswith("asof_")]


def head_of(house):
    return console.rows(house, "SELECT position FROM eventlog.head")[0][0]


@pytest.fixture(autouse=True)
def nothing_is_left(undisturbed):
    yield
    assert left(undisturbed) == []


def test_as_of_the_head_is_what_is_told_live(undisturbed):
    case = undisturbed.stage.cases["stavanger"]
    for words in (["case", "show", case.id], ["call", "show", play.MAIN]):
        live = console.told(undisturbed, *words)
        then = console.told(undisturbed, *words, "--as-of", str(head_of(undisturbed)))
        told = then.pop("as_of")
        assert then == live
        assert told["position"] == told["head"] == head_of(undisturbed)
        assert told["rule_set"] == "2024-1"


def test_a_case_is_told_as_it_stood_between_two_of_its_events(undisturbed):
    case = undisturbed.stage.cases["stavanger"]
    timeline = console.told(undisturbed, "case", "show", case.id)["timeline"]
    awarded = next(i for i, moment in enumerate(timeline) if moment["type"] == "allocation.v1.AwardDecided")
    before = int(timeline[awarded]["position"]) - 1
    then = console.told(undisturbed, "case", "show", case.id, "--as-of", str(before))
    assert then["timeline"] == timeline[:awarded]
    assert then["state"] == "RECOMMENDED" and then["awarded_ore"] == "0"
    now = console.told(undisturbed, "case", "show", case.id, "--as-of", str(before + 1))
    assert now["state"] == "AWARDED" and now["awarded_ore"] == str(case.award_ore)


def test_what_the_panel_knew_on_a_day_is_what_the_log_had_stored_by_then(undisturbed):
    instant = "2024-02-20T00:00:00+01:00"
    position = console.rows(undisturbed, "SELECT max(position) FROM eventlog.log WHERE appended_at_us <= %s",
                            (play.instant(instant),))[0][0]
    told = console.told(undisturbed, "call", "show", play.MAIN, "--as-of", instant)
    assert told["as_of"]["position"] == position
    assert int(told["position"]) <= position


def test_people_read_where_the_answer_comes_from(undisturbed):
    text = console.well(undisturbed, "call", "show", play.MAIN, "--as-of", "120")
    assert f"as of position 120 of {head_of(undisturbed)}, stored " in text and "rule set 2024-1" in text


@pytest.mark.parametrize("as_of, code, sentence", [
    ("2020-01-01T00:00:00Z", 1, "the log held nothing at"), ("2101-01-01T00:00:00Z", 1, "is after the log's head"),
    ("0", 2, "is not a position of the log"), ("99999999", 2, "is not a position of the log"),
    ("21 June", 2, "must be an instant with a zone")])
def test_where_the_log_was_not_nothing_is_known(undisturbed, as_of, code, sentence):
    console.refused(undisturbed, code, sentence, "call", "show", play.MAIN, "--as-of", as_of)


def test_what_was_not_there_yet_is_not_known(undisturbed):
    console.refused(undisturbed, 1, "is not known", "call", "show", play.EXTRA, "--as-of", "30")


def test_the_rules_on_who_may_look_hold_for_the_past_too(undisturbed):
    console.refused(undisturbed, 1, "", "call", "show", play.MAIN, "--as-of", "100", "--as",
                    "someone:EDITOR:958935420")


def test_a_run_that_is_interrupted_drops_what_it_made(undisturbed):
    running = console.start(undisturbed, "call", "show", play.MAIN, "--as-of", "400")
    wait_for(undisturbed, 1)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 1
    assert "stopped" in running.stderr.read()


def wait_for(house, count):
    end = time.monotonic() + 60
    while len(left(house)) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(left(house)) == count


def test_what_a_killed_run_left_is_dropped_by_the_next_and_a_running_one_is_spared(undisturbed):
    console.rows(undisturbed, "CREATE SCHEMA asof_0123456789abcdef AUTHORIZATION tildel_owner")
    console.rows(undisturbed, "CREATE SCHEMA asof_fedcba9876543210 AUTHORIZATION tildel_owner")
    with contextlib.closing(psycopg2.connect(undisturbed.stack.cluster.url("tildel_owner"))) as other:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('tildel scratch asof_fedcba9876543210', 0))")
        console.well(undisturbed, "call", "show", play.MAIN, "--as-of", "100")
        assert left(undisturbed) == ["asof_fedcba9876543210"]
    console.well(undisturbed, "call", "show", play.MAIN, "--as-of", "100")
