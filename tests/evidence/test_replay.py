"""Replay and compare: what is rebuilt from the log equals what lives, and whatever does not is found and told."""

import json
import pathlib
import shutil
import signal

import psycopg2
import pytest

import checker
import console
import play
import test_money


@pytest.fixture
def scratch(undisturbed):
    yield "scratch"
    console.drop(undisturbed, "scratch")


def test_one_service_is_rebuilt_up_to_a_position(undisturbed, scratch):
    told = console.told(undisturbed, "replay", "--into", scratch, "--service", "payment", "--service",
                        "allocation", "--until", "100")
    assert told["position"] == 100
    assert [one["schema"] for one in told["services"]] == ["scratch_payment", "scratch_allocation"]
    assert console.rows(undisturbed, "SELECT position FROM scratch_payment.loop_cursor") == [(100,)]


def test_an_instant_is_the_last_event_stored_by_then(undisturbed, scratch):
    (position, at_us), = console.rows(undisturbed, "SELECT max(position), appended_at_us FROM eventlog.log WHERE "
                                      "appended_at_us = (SELECT appended_at_us FROM eventlog.log "
                                      "WHERE position = 100) GROUP BY 2")
    seconds = console.rows(undisturbed, f"SELECT to_char(to_timestamp({at_us // 1000000}) AT TIME ZONE 'UTC', "
                           "'YYYY-MM-DD\"T\"HH24:MI:SS')")[0][0]
    told = console.told(undisturbed, "replay", "--into", scratch, "--service", "payment", "--until",
                        f"{seconds}.{at_us % 1000000:06d}Z")
    assert told["position"] == position


@pytest.mark.parametrize("until, code, sentence", [
    ("2020-01-01T00:00:00Z", 1, "the log held nothing at 2020-01-01T00:00:00Z; it began"),
    ("2101-01-01T00:00:00Z", 1, "is after the log's head"), ("0", 2, "is not a position of the log"),
    ("999999999", 2, "is not a position of the log"), ("yesterday", 2, "must be an instant with a zone")])
def test_where_the_log_was_not_nothing_is_rebuilt(undisturbed, until, code, sentence):
    console.refused(undisturbed, code, sentence, "replay", "--into", "never", "--until", until)
    assert not any(schema.startswith("never") for schema in console.schemas(undisturbed))


def test_an_unknown_service_and_a_bad_prefix_are_told(undisturbed):
    console.refused(undisturbed, 2, "there is no service ledger", "replay", "--into", "x", "--service", "ledger")
    console.refused(undisturbed, 2, "--into must be", "replay", "--into", "X; DROP")
    console.refused(undisturbed, 2, "--watch must be 1..3600 seconds", "replay", "--into", "x", "--watch", "0")


def test_a_schema_that_is_there_is_only_replaced_when_asked_for(undisturbed, scratch):
    words = ["replay", "--into", scratch, "--service", "payment"]
    console.well(undisturbed, *words)
    console.rows(undisturbed, "DELETE FROM scratch_payment.payment_order")
    console.refused(undisturbed, 1, "scratch_payment is there already; --again drops it", *words)
    assert console.rows(undisturbed, "SELECT count(*) FROM scratch_payment.payment_order") == [(0,)]
    console.well(undisturbed, *words, "--again")
    assert console.rows(undisturbed, "SELECT count(*) FROM scratch_payment.payment_order")[0][0] > 0


def test_the_live_schema_is_never_replayed_into(undisturbed):
    for option in ("--replay", "--replay-on"):
        done = console.run(undisturbed, option, "intake", binary=undisturbed.stack.binary("intake"))
        assert done.returncode == 2 and "INTO must not be intake" in done.stderr


def test_a_replay_goes_on_where_an_earlier_one_stands(undisturbed, scratch):
    console.well(undisturbed, "replay", "--into", scratch, "--service", "reporting", "--until", "250")
    done = console.run(undisturbed, "--replay-on", "scratch_reporting",
                       binary=undisturbed.stack.binary("reporting"))
    head = console.rows(undisturbed, "SELECT position FROM eventlog.head")[0][0]
    assert done.returncode == 0 and json.loads(done.stdout)["position"] == head
    assert json.loads(done.stdout)["events"] == head - 250
    console.rows(undisturbed, "UPDATE scratch_tools.rebuilt SET position = %s", (head,))
    assert console.told(undisturbed, "compare", "--with", scratch)["equal"]


def test_the_commits_of_a_rebuild_do_not_wait_for_the_disk(undisturbed, scratch):
    """Those of a service that catches up do: test_catch_up."""
    payment = undisturbed.stack.binary("payment")
    console.well(undisturbed, "--replay", "scratch_payment", "100", binary=payment)
    with console.commits(undisturbed, "scratch_payment") as waits:
        console.well(undisturbed, "--replay-on", "scratch_payment", binary=payment)
    assert waits == {"off"}


def test_verify_sees_that_state_and_events_say_the_same(undisturbed, scratch):
    words = ["verify", "--state", scratch]
    said = [json.loads(line) for line in console.well(undisturbed, *words, "--json").splitlines()]
    head = console.rows(undisturbed, "SELECT position FROM eventlog.head")[0][0]
    assert [said[0]["verified"], said[1]] == [True, {"state": "equal", "position": head, "services": 6}]
    assert not any(schema.startswith(scratch) for schema in console.schemas(undisturbed))
    case = undisturbed.stage.cases["stavanger"]
    change = "UPDATE allocation.case_grant SET amount_ore = amount_ore + %s WHERE application_id = %s"
    console.rows(undisturbed, change, (100, case.id))       # when: state that no event has brought
    try:
        done = console.run(undisturbed, *words)
        assert done.returncode == 4 and case.id in done.stdout and "amount_ore" in done.stdout, done.stdout + done.stderr
        console.refused(undisturbed, 1, "--again drops it", *words)
    finally:
        console.rows(undisturbed, change, (-100, case.id))
    assert "equal: the tables of 6 services" in console.well(undisturbed, *words, "--again")
    console.refused(undisturbed, 2, "--state must be 1..30 of", "verify", "--state", "No Such")
    console.refused(undisturbed, 2, "--since and --state are for the live log", "verify", "some.tar", "--state", "x")
    console.refused(undisturbed, 2, "--again drops what an earlier --state PREFIX has left", "verify", "--again")


def test_a_row_and_a_value_that_differ_are_told_with_their_events(undisturbed, scratch):
    case = undisturbed.stage.cases["stavanger"]
    console.well(undisturbed, "replay", "--into", scratch)
    console.rows(undisturbed, "UPDATE scratch_allocation.case_grant SET amount_ore = amount_ore - 100 "
                 "WHERE application_id = %s", (case.id,))
    console.rows(undisturbed, "DELETE FROM scratch_reporting.view_moment WHERE position = 77")
    done = console.run(undisturbed, "compare", "--with", scratch, "--json")
    assert done.returncode == 4
    found = {(one["table"], one["key"], one["column"]): one
             for one in json.loads(done.stdout)["differences"]}
    assert set(found) == {("case_grant", case.id, "amount_ore"), ("view_moment", "77", "(row)")}
    events = {position: (kind, id)
              for position, kind, id in ((event["position"], event["type"], event["id"])
                                         for event in found[("case_grant", case.id, "amount_ore")]["events"])}
    assert "allocation.v1.AwardDecided" in {kind for kind, _ in events.values()}
    log = {event.position: event.envelope for event in log_of(undisturbed)}
    assert all(log[position].id == id and log[position].subject == case.id
               for position, (_, id) in events.items())
    moment, = found[("view_moment", "77", "(row)")]["events"]
    assert (moment["position"], moment["id"]) == (77, log[77].id)


def log_of(house):
    with psycopg2.connect(house.stack.cluster.url("postgres")) as connection:
        return checker.read_log(connection)


def test_an_apply_that_drops_a_field_is_found(undisturbed, scratch, tmp_path):
    """A mutant: reporting's program with one statement changed, so that what was applied for is not kept."""
    text = pathlib.Path(undisturbed.stack.binary("reporting")).read_bytes()
    mutant = text.replace(b"SET applied_ore = given.applied_ore", b"SET awarded_ore = given.applied_ore")
    assert mutant != text
    shutil.copy(undisturbed.stack.binary("console"), tmp_path / "tildel")
    (tmp_path / "tildel-reporting").write_bytes(mutant)
    (tmp_path / "tildel-reporting").chmod(0o755)
    console.well(undisturbed, "replay", "--into", scratch, "--service", "reporting", binary=tmp_path / "tildel")
    done = console.run(undisturbed, "compare", "--with", scratch, "--json")
    assert done.returncode == 4
    assert {(one["table"], one["column"]) for one in json.loads(done.stdout)["differences"]} >= {
        ("view_case", "applied_ore")}


CONDITIONS = """SELECT t.relname, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
                 WHERE t.relnamespace = %s::regnamespace AND c.contype = 'c' ORDER BY 1, 2"""


def test_the_rebuilt_tables_have_the_conditions_of_the_live_ones(undisturbed, scratch):
    console.well(undisturbed, "replay", "--into", scratch)
    for service in ("intake", "allocation", "payment", "reporting"):
        live = console.rows(undisturbed, CONDITIONS, (service,))
        assert live and console.rows(undisturbed, CONDITIONS, (f"scratch_{service}",)) == live


def test_an_own_event_that_brings_what_may_not_be_is_found_with_its_position(undisturbed, scratch):
    with test_money.changed(undisturbed, "allocation.v1.AwardDecided", below_zero) as position:
        done = console.run(undisturbed, "--replay", "scratch_allocation", binary=undisturbed.stack.binary("allocation"))
    assert done.returncode == 1
    words = done.stdout + done.stderr
    assert "violates check constraint" in words and f'"position":"{position}"' in words, words


def below_zero(body):
    body.amount_ore = -body.amount_ore


def line(watch, kind):
    """The next line of a watch, which must be of this kind; what it says of busy services is passed over."""
    while True:
        said = json.loads(watch.stdout.readline())
        if said["watch"] != "busy" or kind == "busy":
            assert said["watch"] == kind, said
            return said


def registers(house, number, name):
    house.stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=[
        {"organisation_number": number, "name": name, "form": "ORGL", "language": "nb"}])


def test_a_watch_follows_the_log_and_alarms_when_the_tables_drift(house):
    house.up()
    registers(house, "974760673", "Watched")
    house.stage.quiet()
    watch = console.start(house, "replay", "--into", "scratch", "--watch", "1", "--json")
    try:
        before = line(watch, "equal")
        registers(house, "889640782", "Watched too")
        while (after := line(watch, "equal"))["position"] == before["position"]:
            pass
        assert console.rows(house, "SELECT position FROM scratch_intake.loop_cursor")[0][0] >= after["position"]
        console.rows(house, "UPDATE scratch_intake.organisation SET name = 'x' WHERE number = '889640782'")
        alarm = line(watch, "alarm")
        assert watch.wait(timeout=60) == 4
    finally:
        watch.kill()
    assert alarm["different"] == 1
    difference, = alarm["differences"]
    assert (difference["key"], difference["column"]) == ("889640782", "name")
    assert [event["type"] for event in difference["events"]] == ["intake.v1.OrganisationRegistered"]


def test_a_watch_that_is_stopped_ends_well_and_leaves_no_program_running(undisturbed, scratch):
    watch = console.start(undisturbed, "replay", "--into", scratch, "--watch", "1", "--json")
    try:
        line(watch, "equal")
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(timeout=60) == 0
    finally:
        watch.kill()
    assert console.rows(undisturbed, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'replay'") == [
        (0,)]
