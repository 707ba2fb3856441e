"""Explain: what led to a decision or an amount, in sentences, and computed again."""

import json

import pytest

import console
import play
import test_money


def explained(house, case):
    return console.told(house, "case", "explain", case.id, "--as", "auditor.1:AUDITOR")


def test_every_case_of_the_play_is_explained_and_computed_again_equal(undisturbed):
    for case in undisturbed.stage.cases.values():
        told = explained(undisturbed, case)
        assert told["call_id"] == case.call
        assert all(check["equal"] for check in told["checks"]), (case.key, told["checks"])
        assert [event["position"] for event in told["events"]] == sorted(event["position"]
                                                                          for event in told["events"])


def test_an_award_is_told_with_person_role_rules_and_what_it_rests_on(undisturbed):
    case = undisturbed.stage.having("award", "no lapses", call=play.EXTRA)[0]
    told = explained(undisturbed, case)
    award = next(event for event in told["events"] if event["type"] == "allocation.v1.AwardDecided")
    assert (award["by"], award["role"], award["rule_set"]) == ("imdi.budget.1", "BUDGET_HOLDER", "2024-1")
    assert f"DECIDED: awarded {play.kroner(case.award_ore)}" in award["sentence"].replace("\u00a0", " ")
    words = " ".join(check["sentence"] for check in told["checks"])
    for piece in ("the delivered application", "the total of evaluation", "different people", "proposal"):
        assert piece in words
    people = {(one["person"], one["role"]): one["did"] for one in told["people"]}
    assert "AwardDecided" in people[("imdi.budget.1", "BUDGET_HOLDER")]
    assert {"SignedOff"} <= set(people[(f"{case.key}.signer", "APPROVER")])
    text = console.well(undisturbed, "case", "explain", case.id, "--as", "auditor.1:AUDITOR")
    assert "(budget holder) DECIDED: awarded" in text and "Computed again" in text


def test_a_case_of_nobody_and_a_role_that_may_not_compute_are_refused(undisturbed):
    case = undisturbed.stage.cases["stavanger"]
    console.refused(undisturbed, 1, "the log knows no application nobody", "case", "explain", "nobody")
    console.refused(undisturbed, 1, "RecomputeProposal is for the role", "case", "explain", case.id)


def other_letter(body):
    body.letter.amount_ore += 100


def other_score(body):
    body.results[0].hundredths += 100


def same_hands(body):
    body.prepared_by[0] = body.decided_by


@pytest.mark.parametrize("kind, change, words", [
    ("allocation.v1.GrantLetterIssued", other_letter, "the letter at position"),
    ("evaluation.v1.EvaluationCompleted", other_score, "added up again"),
    ("allocation.v1.AwardDecided", same_hands, "THE SAME PERSON")])
def test_what_was_changed_in_the_log_is_not_equal(undisturbed, kind, change, words):
    with test_money.changed(undisturbed, kind, change) as position:
        case_id, = console.rows(undisturbed, "SELECT subject FROM reporting.view_moment WHERE position = %s",
                                (position,))[0]
        done = console.run(undisturbed, "case", "explain", case_id, "--as", "auditor.1:AUDITOR", "--json")
    assert done.returncode == 4, done.stderr
    wrong = [check["sentence"] for check in json.loads(done.stdout)["checks"] if not check["equal"]]
    assert len(wrong) == 1 and words in wrong[0]
