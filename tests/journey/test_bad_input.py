"""What people and programs get wrong at the edge: told in a sentence that names the place; nothing is stored."""

import json
import uuid

import pytest

import play


def refusal(house, *words):
    done = house.tildel(*words)
    assert done.returncode == 1, done.stdout
    assert len(done.stdout.strip().splitlines()) == 1, done.stdout
    return done.stdout.strip()


def definition(tmp_path, change):
    text = (play.HERE / "calls" / f"{play.MAIN}.json").read_text()
    path = tmp_path / "call.json"
    path.write_text(change(text))
    return str(path)


def line_of(path, words):
    return next(number for number, line in enumerate(open(path), 1) if words in line)


@pytest.mark.parametrize("right, wrong, told", [
    ('"area": "8"', '"aera": "8"', "aera is not a field"),
    ('"frame_ore": 1000000000', '"frame_ore": "much"', "frame_ore"),
    ('"type": "MAIN"', '"type": "LARGE"', "must be one of MAIN, EXTRA"),
])
def test_a_malformed_definition_is_told_with_file_line_and_key(undisturbed, tmp_path, right, wrong, told):
    path = definition(tmp_path, lambda text: text.replace(right, wrong))
    told_all = refusal(undisturbed, "call", "publish", path, "--as", play.HEAD)
    assert f"{path} line {line_of(path, wrong)}" in told_all and told in told_all


def test_a_definition_that_is_no_json_is_told_with_its_line(undisturbed, tmp_path):
    path = definition(tmp_path, lambda text: text.replace('"area": "8",', '"area": "8"'))
    assert f"{path} line {line_of(path, 'area') + 1}" in refusal(undisturbed, "call", "publish", path, "--as",
                                                                 play.HEAD)


def test_an_unknown_field_of_a_command_is_told(undisturbed):
    told = refusal(undisturbed, "send", "intake.v1.Withdraw", '{"application": "x"}', "--as", play.HEAD)
    assert "application is not a field of intake.v1.Withdraw" in told


def test_the_same_id_with_another_body_is_refused(undisturbed):
    ack = next(ack for ack in undisturbed.client.acks if ack.type == "intake.v1.StartDraft"
               and ack.status == "OK")
    case = next(iter(undisturbed.stage.cases.values()))
    before = undisturbed.stage.head()
    answer = undisturbed.client.ask("intake.v1.StartDraft",
                                    {"application_id": str(uuid.uuid4()), "call_id": case.call},
                                    case.editor, id=ack.id)
    undisturbed.client.acks.pop()  # it is not what this id stands for
    assert (answer.status, undisturbed.stage.head()) == ("REFUSED", before)
    assert ack.id in answer.reason and "another" in answer.reason


@pytest.mark.parametrize("field, value, told", [
    ("organisation_number", "964965225", "964965225"),
    ("municipality_number", "1100", "1100"),
    ("municipality_number", "", "municipality_number"),
    ("language", "en", "en"),
])
def test_an_organisation_with_a_wrong_number_is_not_registered(undisturbed, field, value, told):
    organisation = {"organisation_number": "964965226", "name": "Stavanger kommune", "form": "KOMM",
                    "municipality_number": "1103", "language": "nb", field: value}
    undisturbed.stage.refused(play.OFFICER, f"(?=.*{field})(?=.*{told})", "intake.v1.ImportOrganisations",
                              organisations=[organisation])


def test_a_person_of_another_municipality_sees_and_changes_nothing(undisturbed):
    case = undisturbed.stage.cases["oslo"]
    stranger = "larvik.editor:EDITOR:918082956"
    stage = undisturbed.stage
    stage.refused(stranger, "organisation", "intake.v1.GetApplication", application_id=case.id)
    stage.refused(stranger, "organisation", "allocation.v1.GetLetter", application_id=case.id)
    stage.refused(stranger, "organisation", "reporting.v1.GetCase", application_id=case.id)
    stage.refused(stranger, "organisation", "reporting.v1.GetReport", application_id=case.id)
    stage.refused("larvik.signer:APPROVER:918082956", "organisation", "intake.v1.Withdraw",
                  application_id=case.id,
                  reason="Ikke vår.")


def test_an_auditor_reads_and_changes_nothing(undisturbed):
    case = undisturbed.stage.cases["oslo"]
    shown = undisturbed.tildel("case", "show", case.id, "--as", play.AUDITOR, "--json")
    assert json.loads(shown.stdout)["state"] == "CLOSED"
    undisturbed.stage.refused(play.AUDITOR, "for the role", "allocation.v1.IssueLetter",
                              application_id=case.id)
