"""A poison event stands still with its case, everything else goes on; it is tried again, or skipped by two persons."""

import time
import uuid

import pytest

import client
import console
import contract
import play

STREAM = "intake/application/{}"


def append(house, stream, kind, body, version=1, subject=""):
    """Into the log as intake itself could, with intake's key: an event that its readers may choke on."""
    event = {"id": str(uuid.uuid4()), "source": "intake", "type": kind, "stream": stream, "version": version,
             "subject": subject or stream.rsplit("/", 1)[1], "time_us": play.instant("2024-02-01T00:00:00+01:00"),
             "actor": {"subject": "intake", "role": "SERVICE"}, "causation": str(uuid.uuid4()),
             "correlation": str(uuid.uuid4()), "rule_set": "2024-1", "rehearsal": True}
    data = contract.message("eventlog.v1.Event")(data=contract.encode(kind, body))
    data.MergeFrom(contract.decode("eventlog.v1.Event", contract.encode("eventlog.v1.Event", event)))
    speaker = client.Client(house.client.broker, house.stack.folder / "keys", name="intake")
    try:
        append_message = contract.message("eventlog.v1.Append")(events=[data.SerializeToString(deterministic=True)])
        answer = speaker.answered(str(uuid.uuid4()), "eventlog", "eventlog.v1.Append",
                                  append_message.SerializeToString(deterministic=True), "intake:SERVICE")
    finally:
        speaker.close()
    assert answer.status == "OK" and answer.body["results"][0]["result"] == "STORED", answer
    return int(answer.body["results"][0]["position"])


@pytest.fixture
def poisoned(house):
    """A stack in which a delivered application without its content was heard, and one more event of its case."""
    house.up()
    case = str(uuid.uuid4())
    stream = STREAM.format(case)
    first = append(house, stream, "intake.v1.ApplicationSubmitted", {
        "application_id": case, "call_id": "nowhere", "organisation_number": "958935420"})
    second = append(house, stream, "intake.v1.ApplicationWithdrawn",
                    {"application_id": case, "call_id": "nowhere", "reason": "x", "delivered": True}, version=2)
    until(lambda: "evaluation" in standing(house, stream))
    return house, stream, [first, second]


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.1)


def standing(house, stream):
    """The services in which this stream stands still, and how many events wait."""
    told = console.told(house, "incident", "list")
    return {service: one["parked"] for service, incidents in told.items() for one in incidents
            if one["stream"] == stream}


def goes_on(house):
    """Something else is decided, logged and heard by everyone meanwhile."""
    house.stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=[
        {"organisation_number": "974760673", "name": "Goes on", "form": "ORGL", "language": "nb"}])
    head = console.rows(house, "SELECT position FROM eventlog.head")
    until(lambda: console.rows(house, "SELECT position FROM reporting.loop_cursor") >= head)


def test_a_poison_event_is_parked_shown_and_others_go_on(poisoned):
    house, stream, positions = poisoned
    goes_on(house)
    told = console.told(house, "incident", "show", stream, "--service", "evaluation")["evaluation"]
    assert [int(one["position"]) for one in told["waiting"]] == positions
    assert told["incident"]["reason"] and int(told["incident"]["position"]) == positions[0]
    text = console.well(house, "incident", "show", stream)
    assert "evaluation: " + stream in text and "events wait" in text and "min)" in text


def test_what_is_not_mended_stays_when_it_is_tried_again(poisoned):
    house, stream, positions = poisoned
    before = standing(house, stream)
    text = console.well(house, "incident", "redrive", stream, "--dry-run", "--service", "evaluation")
    assert "evaluation would try" in text and str(positions[1]) in text
    assert standing(house, stream) == before
    console.well(house, "incident", "redrive", stream, "--why", "nothing was mended", "--service", "evaluation")
    until(lambda: not console.rows(house, "SELECT 1 FROM evaluation.loop_incident WHERE redrive"))
    assert standing(house, stream) == before
    redriven = console.rows(house, "SELECT count(*) FROM eventlog.log WHERE type = 'service.v1.IncidentRedriven'")
    assert redriven == [(1,)]


def test_a_skip_needs_two_persons_and_is_in_the_log_and_in_replay(poisoned):
    house, stream, positions = poisoned
    text = console.well(house, "incident", "skip", stream, "--dry-run")
    assert "evaluation would skip" in text
    proposed = ["incident", "skip", stream, "--reason", "an application without content", "--as", "kari:OPERATOR"]
    console.well(house, *proposed)
    assert "kari proposes to skip" in console.well(house, "incident", "show", stream)
    console.refused(house, 1, "another person confirms it", "incident", "skip", stream, "--confirm", "--as",
                    "kari:OPERATOR")
    console.refused(house, 1, "is for the role OPERATOR", "incident", "skip", stream, "--confirm", "--as",
                    "ola:AUDITOR")
    assert standing(house, stream)
    owners = sorted(standing(house, stream))
    console.well(house, "incident", "skip", stream, "--confirm", "--as", "ola:OPERATOR")
    until(lambda: not standing(house, stream))
    goes_on(house)
    skips = {event.source: body for event, body in logged(house, "service.v1.IncidentSkipped")}
    assert sorted(skips) == owners
    assert all((one.proposed_by, one.confirmed_by) == ("kari", "ola") for one in skips.values())
    assert list(skips["evaluation"].positions) == positions
    console.well(house, "settle")
    words = [word for service in owners for word in ("--service", service)]
    console.well(house, "replay", "--into", "scratch", *words)
    assert console.told(house, "compare", "--with", "scratch")["equal"]


def logged(house, kind):
    found = [contract.decode("eventlog.v1.Event", bytes(data)) for data, in console.rows(
        house, "SELECT bytes FROM eventlog.log WHERE type = %s ORDER BY position", (kind,))]
    return [(event, contract.decode(kind, event.data)) for event in found]


def test_what_was_heard_by_a_mended_program_is_left_out_when_it_was_skipped_live(house):
    """The skipped event is no poison to the program that replays: it must be left out all the same."""
    house.up()
    goes_on(house)
    position, stream = console.rows(house, "SELECT position, stream FROM eventlog.log WHERE type = "
                                    "'intake.v1.OrganisationRegistered' ORDER BY position LIMIT 1")[0]
    number = stream.rsplit("/", 1)[1]
    # As if approval had parked it: what it heard is taken back, and it waits behind an incident.
    console.rows(house, "DELETE FROM approval.heard_organisation WHERE number = %s", (number,))
    incident = str(uuid.uuid4())
    console.rows(house, "INSERT INTO approval.loop_incident (id, kind, stream, subject, position, type, reason) "
                 "VALUES (%s, 1, %s, %s, %s, 'x', 'made for this test')", (incident, stream, number, position))
    console.rows(house, "INSERT INTO approval.loop_parked SELECT position, %s, stream, %s, bytes FROM eventlog.log "
                 "WHERE position = %s", (incident, number, position))
    console.well(house, "incident", "skip", stream, "--reason", "no municipality", "--as", "kari:OPERATOR")
    console.well(house, "incident", "skip", stream, "--confirm", "--as", "ola:OPERATOR")
    until(lambda: not standing(house, stream))
    console.well(house, "settle")
    console.well(house, "replay", "--into", "scratch", "--service", "approval")
    assert console.told(house, "compare", "--with", "scratch")["equal"]


@pytest.mark.parametrize("words, code, sentence", [
    (["skip", "intake/application/x", "--reason", "x"], 1, "no service has an incident on"),
    (["show", "intake/application/x"], 1, "no service has an incident on"),
    (["skip", "intake/application/x"], 2, "needs --reason to propose it, or --confirm"),
    (["skip", "x", "--confirm", "--reason", "y"], 2, "it takes no --reason"),
    (["redrive", "x"], 2, "needs --why")])
def test_what_does_not_stand_still_is_told(undisturbed, words, code, sentence):
    console.refused(undisturbed, code, sentence, "incident", *words)


