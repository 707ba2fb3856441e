"""Erasing: personal text is in no event and no table, only encrypted in its owner's; what was erased stays erased."""

import json
import os
import stat
import subprocess

import pytest

import conftest
import console
import play

SERVICES = ["intake", "approval", "evaluation", "allocation", "payment", "reporting"]
KEPT = ["loop_private_key", "loop_private"]  # the key first: the texts refer to it


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A house with one application, delivered, with a person to ask about it."""
    made = conftest.House(tmp_path_factory.mktemp("erase") / "stack")
    try:
        made.up()
        made.stage = play.Stage(made.client, say=lambda line: None, only={"drammen"})
        case, = made.stage.cases.values()
        play.scene_registers(made.stage)
        made.stage.does(play.HEAD, "intake.v1.PublishCall", definition=play.definition(play.MAIN))
        made.stage.quiet()
        made.stage.calendar("2024-01-22T09:00:00+01:00")
        play.draft(made.stage, case)
        play.request(made.stage, case)
        play.sign(made.stage, case)
        made.stage.becomes(case, "SUBMITTED")
        made.stage.quiet()
        yield made
    finally:
        made.down()


def case_of(house):
    case, = house.stage.cases.values()
    return case


def texts_of(case):
    contact, = case.content["contacts"]
    return [contact[field]["text"] for field in ("name", "email", "phone")]


def contact_shown(house):
    """The person as the applicant's side sees it now."""
    case = case_of(house)
    shown = house.stage.does(case.editor, "intake.v1.GetApplication", application_id=case.id)
    contact, = shown["content"]["contacts"]
    return [contact[field].get("text", "") for field in ("name", "email", "phone")]


def dump(house):
    cluster = house.stack.cluster
    return subprocess.run([cluster.binary("pg_dump"), cluster.url("postgres")], stdin=subprocess.DEVNULL,
                          capture_output=True, check=True).stdout


def holds(dumped, text):
    """As text, or within a bytea, which is dumped in hexadecimal."""
    return text.encode() in dumped or text.encode().hex().encode() in dumped


def ledger(house):
    return house.stack.console_env()["ERASURE_LEDGER"]


def kept(house):
    return {table: console.rows(house, f"SELECT * FROM intake.{table}") for table in KEPT}


def put_back(house, rows):
    """As a backup from before the erasure would."""
    for table in KEPT:
        for row in rows[table]:
            console.rows(house, f"INSERT INTO intake.{table} VALUES ({', '.join(['%s'] * len(row))})", row)


@pytest.fixture(scope="module")
def before(delivered):
    """What intake kept before anything was erased."""
    return kept(delivered)


def test_the_text_is_told_to_its_own_side_and_stored_nowhere_as_it_is(delivered, before):
    case = case_of(delivered)
    assert contact_shown(delivered) == texts_of(case)
    assert texts_of(case)[0] in console.well(delivered, "application", "show", case.id, "--as", case.editor)
    assert len(before["loop_private"]) == 3 and len(before["loop_private_key"]) == 1
    dumped = dump(delivered)
    assert holds(dumped, case.content["title"])  # what stands beside it would be found
    assert not [text for text in texts_of(case) if holds(dumped, text)]
    for text in texts_of(case):  # nor in tables' files, write-ahead log, the witness's disk or what processes have logged
        found = subprocess.run(["grep", "-rlaF", "--", text, str(delivered.stack.folder),
                                str(delivered.stack.cluster.place())], stdin=subprocess.DEVNULL, capture_output=True,
                               text=True, check=False)
        assert found.stdout == "", found.stdout
    for service in SERVICES[1:]:
        assert console.rows(delivered, f"SELECT count(*) FROM {service}.loop_private") == [(0,)]


def test_nothing_is_erased_when_the_order_can_not_be_written_down(delivered, before, tmp_path):
    case = case_of(delivered)
    order = ["erase", case.id, "--ground", "the person asks for it", "--as", play.HEAD]
    console.refused(delivered, 1, "can not be written to the ledger /nowhere/ledger: No such file", *order,
                    env={"ERASURE_LEDGER": "/nowhere/ledger"})
    console.refused(delivered, 1, "ERASURE_LEDGER is not set", *order, env={"ERASURE_LEDGER": ""})
    open_to_all = tmp_path / "ledger"
    open_to_all.touch(0o644)
    console.refused(delivered, 1, "its mode must be 0600", *order, env={"ERASURE_LEDGER": str(open_to_all)})
    console.refused(delivered, 1, "the ledger /dev/full", *order, env={"ERASURE_LEDGER": "/dev/full"})
    assert kept(delivered) == before


def test_what_no_service_would_take_does_not_reach_the_ledger(delivered, before):
    case = case_of(delivered)
    head = ["--as", play.HEAD]
    console.refused(delivered, 2, "needs a CASE and --ground", "erase", case.id, *head)
    console.refused(delivered, 2, "must be an application's id", "erase", "drammen", "--ground", "x", *head)
    console.refused(delivered, 2, "the ground must say in 1 to 500 bytes", "erase", case.id, "--ground", "", *head)
    console.refused(delivered, 2, "takes no CASE", "erase", case.id, "--ledger", "x", *head)
    console.refused(delivered, 1, "by a unit head", "erase", case.id, "--ground", "x")
    console.refused(delivered, 1, "no service holds personal text of case", "erase",
                    "00000000-0000-7000-8000-000000000000", "--ground", "x", *head)
    assert not os.path.exists(ledger(delivered)) and kept(delivered) == before


def test_what_is_erased_is_gone_and_log_and_replay_stand(delivered, before):
    case = case_of(delivered)
    told = console.told(delivered, "erase", case.id, "--ground", "the person asks for it", "--law",
                        "GDPR art. 17 (1) (b)", "--as", play.HEAD)[case.id]
    assert (told["intake"]["texts"], told["intake"]["key"]) == (len(before["loop_private"]), True)
    assert all((told[service]["texts"], told[service]["key"]) == (0, False) for service in SERVICES[1:])
    assert kept(delivered) == {table: [] for table in KEPT}
    assert contact_shown(delivered) == ["", "", ""]
    text = console.well(delivered, "application", "show", case.id, "--as", case.editor)
    assert "personal text was erased 2024-01-22 09:00:00: the person asks for it" in text
    line, = open(ledger(delivered), encoding="utf-8").read().splitlines()
    order = json.loads(line)
    assert (order["case_id"], order["by"], order["law"]) == (case.id, play.HEAD.split(":")[0], "GDPR art. 17 (1) (b)")
    assert stat.S_IMODE(os.stat(ledger(delivered)).st_mode) == 0o600
    delivered.stage.quiet()
    erased = console.rows(delivered, "SELECT stream FROM eventlog.log WHERE type = 'service.v1.CaseErased' ORDER BY stream")
    assert erased == [(f"{service}/erasure/{case.id}",) for service in sorted(SERVICES)]
    delivered.prove()


def test_no_more_is_taken_for_the_case(delivered):
    case = case_of(delivered)
    delivered.stage.refused(case.editor, "the personal text of case .* was erased .* and none is taken",
                            "intake.v1.SaveDraft", application_id=case.id, expected_version=1, content=case.content)
    assert kept(delivered) == {table: [] for table in KEPT}


def test_what_a_backup_brings_back_the_ledger_destroys_again(delivered, before):
    case = case_of(delivered)
    put_back(delivered, before)
    assert contact_shown(delivered) == texts_of(case)
    text = console.well(delivered, "erase", "--ledger", ledger(delivered))
    assert "1 orders of" in text
    assert kept(delivered) == {table: [] for table in KEPT} and contact_shown(delivered) == ["", "", ""]
    events = "SELECT count(*) FROM eventlog.log WHERE type = 'service.v1.CaseErased'"
    delivered.stage.quiet()
    counted = console.rows(delivered, events)
    console.well(delivered, "erase", "--ledger", ledger(delivered))  # and once more: nothing happens
    delivered.stage.quiet()
    assert console.rows(delivered, events) == counted


def test_a_line_that_is_no_order_is_told_and_the_others_are_applied(delivered, before, tmp_path):
    put_back(delivered, before)
    copy = tmp_path / "ledger"
    copy.write_text('{"case_id": "cut short\n' + open(ledger(delivered), encoding="utf-8").read())
    console.refused(delivered, 1, f"{copy} line 1 is not applied", "erase", "--ledger", str(copy))
    assert kept(delivered) == {table: [] for table in KEPT}
    console.refused(delivered, 1, "nowhere", "erase", "--ledger", "/nowhere")
