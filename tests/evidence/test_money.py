"""Follow the krone: both ways, and every øre of every frame in one place at every position."""

import contextlib

import psycopg2
import pytest

import console
import contract
import play


def steps(house, what):
    told = console.told(house, "money", "trace", what)
    return told, [step["step"] for step in told["steps"]]


def the_repaid(house):
    """A case that was paid, claimed back in part, and repaid."""
    case_id, = console.rows(house, "SELECT application_id FROM reporting.view_case WHERE repaid_ore > 0 LIMIT 1")[0]
    return next(case for case in house.stage.cases.values() if case.id == case_id)


def events(house, kind, case):
    return [contract.decode(kind, bytes(contract.decode("eventlog.v1.Event", bytes(data)).data))
            for data, in console.rows(house, "SELECT bytes FROM eventlog.log WHERE type = %s ORDER BY position",
                                      (kind,))
            if contract.decode("eventlog.v1.Event", bytes(data)).subject == case.id]


def test_from_a_case_the_whole_way_is_told_in_order(undisturbed):
    case = the_repaid(undisturbed)
    told, found = steps(undisturbed, case.id)
    way = ["frame opened", "awarded", "accepted", "payment due", "prepared, coded", "disposed", "attested",
           "authorised", "sent to the bank", "confirmed by the bank", "posted in the ledger", "accounts approved",
           "repayment decided", "claimed back", "repaid", "repayment posted in the ledger"]
    assert [step for step in found if step in way] == way
    assert found[0] == "call published" or "reserved for an extra call" in found
    assert told["known_as"] == "application_id" and told["call_id"] == case.call
    published = next(step for step in told["steps"] if step["step"] == "call published")
    assert published["reference"] == "671.62"
    assert {step["application_id"] for step in told["steps"]} == {"", case.id}


def test_from_a_payment_the_way_back_leads_to_the_frame(undisturbed):
    case = the_repaid(undisturbed)
    authorised = events(undisturbed, "payment.v1.PaymentAuthorised", case)[-1]
    for what, known_as in ((authorised.payment_key, "payment_key"), (authorised.end_to_end_id, "end_to_end_id")):
        told, found = steps(undisturbed, what)
        assert told["known_as"] == known_as and told["application_id"] == case.id
        assert {"call published", "frame opened", "awarded", "confirmed by the bank"} <= set(found)
        assert "claimed back" not in found


def test_from_a_kid_the_way_back_leads_to_the_frame(undisturbed):
    case = the_repaid(undisturbed)
    claim = events(undisturbed, "payment.v1.ClaimIssued", case)[-1]
    told, found = steps(undisturbed, claim.kid)
    assert told["known_as"] == "kid" and told["application_id"] == case.id
    assert {"call published", "awarded", "confirmed by the bank", "claimed back", "repaid"} <= set(found)
    assert "attested" not in found


def test_from_a_call_every_case_with_money_is_told(undisturbed):
    told, _ = steps(undisturbed, play.MAIN)
    awarded = {one for one, in console.rows(undisturbed, "SELECT application_id FROM reporting.view_case WHERE "
                                            "call_id = %s AND (awarded_ore > 0 OR lapsed_ore > 0)",
                                            (play.MAIN,))}
    assert {step["application_id"] for step in told["steps"] if step["step"] == "awarded"} == awarded


def test_what_the_log_does_not_know_is_told(undisturbed):
    console.refused(undisturbed, 1, "the log knows no call", "money", "trace", "9999999999")
    console.refused(undisturbed, 2, "takes either", "money", "trace")
    console.refused(undisturbed, 2, "takes either", "money", "trace", play.MAIN, "--check")


def test_every_ore_has_one_place_and_the_sums_are_those_of_the_read_model(undisturbed):
    told = console.told(undisturbed, "money", "trace", "--check")
    assert told["accounted"] and told["unposted"] == 0
    for call in told["calls"]:
        frame = undisturbed.stage.does(play.AUDITOR, "allocation.v1.GetFrame", call_id=call["call_id"])
        for name in ("residual", "reserved", "committed", "paid", "claimed", "repaid"):
            assert call[f"{name}_ore"] == int(frame[f"{name}_ore"]), (call["call_id"], name)
        assert call["appropriated_ore"] == int(frame["frame_ore"])


@contextlib.contextmanager
def changed(house, kind, change):
    """The first event of a type, changed in the log past every guard, and put back."""
    position, before = console.rows(house, "SELECT position, bytes FROM eventlog.log WHERE type = %s "
                                    "ORDER BY position LIMIT 1", (kind,))[0]
    event = contract.decode("eventlog.v1.Event", bytes(before))
    body = contract.decode(kind, event.data)
    change(body)
    event.data = body.SerializeToString(deterministic=True)
    put = ("SET session_replication_role = replica; UPDATE eventlog.log SET bytes = %s WHERE position = %s")
    console.rows(house, put, (psycopg2.Binary(event.SerializeToString(deterministic=True)), position))
    try:
        yield position
    finally:
        console.rows(house, put, (before, position))


def more(body):
    body.postings[0].amount_ore += 100


def elsewhere(body):
    body.postings[0].to = body.postings[0].to.replace("PAID", "REPAID")


def less_confirmed(body):
    body.amount_ore -= 100


@pytest.mark.parametrize("kind, change", [
    ("allocation.v1.AwardDecided", more), ("allocation.v1.FrameReserved", more), ("allocation.v1.GrantLapsed", more),
    ("allocation.v1.PaymentPosted", elsewhere), ("payment.v1.PaymentConfirmed", less_confirmed),
    ("payment.v1.ClaimIssued", less_confirmed)])
def test_an_ore_that_goes_astray_is_found_with_its_position(undisturbed, kind, change):
    with changed(undisturbed, kind, change) as position:
        done = console.run(undisturbed, "money", "trace", "--check")
    assert done.returncode == 4, done.stdout
    found = int(done.stderr.split("position ")[1].split(":")[0])
    assert found >= position
    if kind.startswith("allocation"):
        assert found == position
    console.well(undisturbed, "money", "trace", "--check")
