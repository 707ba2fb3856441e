"""The play: one real call, from announcement to audited accounts, with everything that goes wrong on the way.

Each scene is a function that reads from top to bottom: who does what, and what is refused to whom. The cast
is in demo-data/: real municipalities, invented projects. The play stops with a sentence the moment anything
is not as expected.

The services agree eventually, so a scene asks until it is as it must be (Stage.until, Stage.quiet) and never
sleeps and hopes. The calendar is moved (bus.v1.MoveCalendar) and stands still, so the play needs a rehearsal.
"""

import csv
import datetime
import json
import pathlib
import re
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE / "demo-data"
MAIN, EXTRA = "imdi-tuki8-2024-main", "imdi-tuki8-2024-extra"
SERVICES = ["intake", "approval", "evaluation", "allocation", "payment", "reporting"]
PATIENCE_S = 60

# The people of the directorate. Each has one subject; what they may do is their role.
OFFICER = "imdi.officer.1:CASE_OFFICER"
HEAD = "imdi.head.1:UNIT_HEAD"
BUDGET = "imdi.budget.1:BUDGET_HOLDER"
PAYMENTS = "imdi.payments.1:PAYMENT_OFFICER"
ATTESTANT = "imdi.attest.1:ATTESTANT"
AUTHORISER = "imdi.release.1:AUTHORISER"
AUDITOR = "riksrevisjonen.1:AUDITOR"
OPERATOR = "drift.1:OPERATOR"


def kroner(ore):
    return f"{ore // 100:,}".replace(",", " ") + ("" if ore % 100 == 0 else f",{ore % 100:02d}") + " kr"


def instant(text):
    """UTC microseconds of an ISO instant with its zone."""
    return int(datetime.datetime.fromisoformat(text).timestamp()) * 1_000_000


class Unexpected(Exception):
    """Something in the play was not as it must be."""


class Case:
    """One application and the people around it."""

    def __init__(self, key, facts, organisations):
        self.key = key
        self.facts = facts
        self.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://tildel.invalid/demo/{key}"))
        self.call = MAIN if facts["call"] == "main" else EXTRA
        self.organisation = facts["organisation"]
        self.name = organisations[self.organisation]["name"]
        self.content = json.loads((DATA / "applications" / f"{key}.json").read_text())
        self.applied_ore = self.content["budget"][0]["grant_ore"]
        self.award_ore = facts.get("award", 0) * 100
        self.payment_key = f"{self.id}#2024#1"

    def person(self, what, role):
        return f"{self.key}.{what}:{role}:{self.organisation}"

    editor = property(lambda self: self.person("editor", "EDITOR"))
    signer = property(lambda self: self.person("signer", "APPROVER"))
    owner = property(lambda self: self.person("owner", "PROJECT_OWNER"))
    leader = property(lambda self: self.person("leader", "SUPERIOR_LEADER"))

    def partner_editor(self, partner):
        return f"{partner}.editor:EDITOR:{self.facts['partners'][partner]}"

    def reader(self, place):
        return f"imdi.{self.facts['readers'][place]}:READER"

    @property
    def readers_in_the_end(self):
        """Who scored: the replacement of one who turned out to have an interest comes in that one's place."""
        names = [self.facts["replacement"] if name == self.facts.get("conflicted") else name
                 for name in self.facts["readers"]]
        return [f"imdi.{name}:READER" for name in names]


class Stage:
    """Where the play is played: who speaks, what is expected, and what has been counted."""

    def __init__(self, speaker, say=print, only=None):
        with open(DATA / "organisations.csv", newline="") as file:
            self.organisations = {row["organisation_number"]: row for row in csv.DictReader(file)}
        facts = json.loads((DATA / "cases.json").read_text())
        self.cases = {key: Case(key, fact, self.organisations) for key, fact in facts.items() if not only
                      or key in only}
        self.speaker = speaker
        self.say = say
        self.refusals = 0
        self.done = 0

    # The cast, by what happens to them.

    def having(self, *facts, call=None):
        """Cases that have all these facts ("award") and none of those that begin with "no " ("no lapses")."""
        def fits(case, fact):
            return not case.facts.get(fact[3:]) if fact.startswith("no ") else bool(case.facts.get(fact))
        return [case for case in self.cases.values()
                if (call is None or case.call == call) and all(fits(case, fact) for fact in facts)]

    # Speaking.

    def does(self, actor, type, **body):
        """A command that must be done, or a query that must be answered."""
        answer = self.speaker.ask(type, body, actor)
        if answer.status != "OK":
            raise Unexpected(f"{actor} could not do {type}: {answer.status}: {answer.reason or 'no reason'}")
        self.done += 1
        return answer.body

    def refused(self, actor, why, type, **body):
        """A command that must be refused, with a reason that says why (a regular expression)."""
        answer = self.speaker.ask(type, body, actor)
        if answer.status != "REFUSED":
            raise Unexpected(f"{actor} should not be able to do {type} ({why}), but the answer was "
                             f"{answer.status} {answer.reason}")
        if not re.search(why, answer.reason, re.IGNORECASE):
            raise Unexpected(f"{type} was refused to {actor}, but not because of {why!r}: {answer.reason}")
        self.refusals += 1
        self.say(f"    refused: {answer.reason}")

    def until(self, what, look):
        """Ask until it is so; the value that was found."""
        end = time.monotonic() + PATIENCE_S
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise Unexpected(f"waited {PATIENCE_S} seconds in vain: {what}")
            time.sleep(0.02)

    def quiet(self):
        """Until every service has heard everything and has nothing left to say."""
        self.until("the services to come to rest", self.at_rest)

    def at_rest(self):
        head = self.head()
        for service in SERVICES:
            answer = self.speaker.ask("service.v1.GetStatus", {}, OPERATOR, service=service)
            if answer.status != "OK":
                return False
            status = answer.body
            if status.get("incidents"):
                raise Unexpected(f"{service} has an incident: {status['incidents'][0]['reason']}")
            if int(status["position"]) != head or int(status["unsent"]) or int(status["asked"]):
                return False
        return self.head() == head

    def head(self):
        return int(self.does(OPERATOR, "eventlog.v1.GetHead")["position"])

    def calendar(self, text):
        self.say(f"  {text[:10]} {text[11:19]}")
        self.does(OPERATOR, "bus.v1.MoveCalendar", to_us=instant(text), stand_still=True)

    def state(self, case):
        answer = self.speaker.ask("reporting.v1.GetCase", {"application_id": case.id}, AUDITOR)
        return answer.body.get("state") if answer.status == "OK" else None

    def becomes(self, case, state):
        self.until(f"{case.name} to become {state}, it is {self.state(case)}",
                   lambda: self.state(case) == state)

    def frame(self, call):
        self.quiet()
        frame = self.does(AUDITOR, "allocation.v1.GetFrame", call_id=call)
        return {name: int(value) for name, value in frame.items() if name.endswith("_ore")}

    def expects(self, what, found, right):
        if found != right:
            raise Unexpected(f"{what}: {found}, and it should be {right}")


# ------------------------------------------------------------------------------------- registers and calls


def scene_registers(stage):
    """The directorate brings in organisations and who may sign for them."""
    stage.calendar("2024-01-12T10:00:00+01:00")
    stage.does(OFFICER, "intake.v1.ImportOrganisations", organisations=list(stage.organisations.values()))
    stage.quiet()
    for case in stage.cases.values():
        signer = case.facts.get("signer", "DIRECTOR")
        director = case.person("director", "APPROVER") if signer == "MANDATE" else case.signer
        register(stage, case, director, "DISTRICT_DIRECTOR" if signer == "DISTRICT_DIRECTOR" else "DIRECTOR")
        register(stage, case, case.owner, "PROJECT_OWNER")
        register(stage, case, case.leader, "SUPERIOR_LEADER")
        if signer == "MANDATE":
            mandate(stage, case, director)
    stage.say(f"    {len(stage.organisations)} organisations, {len(stage.cases)} with people who may sign")


def register(stage, case, actor, capacity):
    person = actor.split(":")[0]
    stage.does(OFFICER, "approval.v1.RegisterSignatory", signatory_id=made_id(f"{person} {capacity}"),
               person=person,
               organisation_number=case.organisation, capacity=capacity,
               from_at_us=instant("2024-01-01T00:00:00+01:00"))


def mandate(stage, case, director):
    """An employee signs by the director's mandate: for this call, up to an amount, for a time."""
    terms = dict(organisation_number=case.organisation, call_id=case.call, most_ore=200_000_000,
                 from_at_us=instant("2024-01-01T00:00:00+01:00"),
                 to_at_us=instant("2025-07-01T00:00:00+02:00"),
                 document_sha256="6b" * 32)
    own = director.split(":")[0]
    stage.refused(director, "nobody gives a mandate to oneself", "approval.v1.RegisterMandate",
                  signatory_id=made_id("to oneself"),
                  person=own, **terms)
    stage.does(director, "approval.v1.RegisterMandate", signatory_id=made_id(case.signer),
               person=case.signer.split(":")[0], **terms)


def made_id(name):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def definition(call):
    return json.loads((HERE / "calls" / f"{call}.json").read_text())


def scene_main_round(stage):
    """The main round of 10 million is announced and gets fewer good applications than it could pay."""
    stage.refused(OFFICER, "for the role UNIT_HEAD", "intake.v1.PublishCall", definition=definition(MAIN))
    stage.does(HEAD, "intake.v1.PublishCall", definition=definition(MAIN))
    stage.quiet()
    stage.calendar("2024-01-22T09:00:00+01:00")
    cases = stage.having(call=MAIN)
    for case in cases:
        draft(stage, case)
    stage.calendar("2024-02-12T14:00:00+01:00")
    for case in cases:
        request(stage, case)
        sign(stage, case)
        stage.becomes(case, "SUBMITTED")
    stage.calendar("2024-02-15T00:00:00+01:00")
    stage.until("the main call to close",
                lambda: stage.does(AUDITOR, "intake.v1.GetCall", call_id=MAIN)["closed"])
    stage.calendar("2024-02-19T09:00:00+01:00")
    stage.quiet()
    for case in cases:
        check(stage, case)
        read(stage, case)
    stage.quiet()
    for case in cases:
        award(stage, case)
    for case in cases:
        letter(stage, case)
    stage.calendar("2024-02-26T12:00:00+01:00")
    for case in cases:
        accept(stage, case)
    stage.calendar("2024-03-04T09:00:00+01:00")
    pay(stage, cases)
    left = stage.frame(MAIN)["residual_ore"]
    stage.expects("the residual of the main call", left,
                  1_000_000_000 - sum(case.award_ore for case in cases))
    stage.say(f"    awarded {kroner(1_000_000_000 - left)}, left {kroner(left)}")


def scene_extra_call(stage):
    """What the main round left is announced again, for one week."""
    stage.calendar("2024-06-06T12:00:00+02:00")
    left = stage.frame(MAIN)["residual_ore"]
    wanted = dict(call_id=MAIN, extra_call_id=EXTRA, reason="For få søknader i hovedrunden.")
    extra = dict(definition=definition(EXTRA), reason="Ubrukt ramme etter hovedrunden.")
    stage.refused(HEAD, "is reserved", "intake.v1.OpenExtraCall", **extra)
    stage.refused(BUDGET, "more than the residual", "allocation.v1.ReserveFrame", amount_ore=left + 100,
                  **wanted)
    stage.does(BUDGET, "allocation.v1.ReserveFrame", amount_ore=700_000_000, **wanted)
    stage.quiet()
    stage.calendar("2024-06-07T09:00:00+02:00")
    larger = {**extra, "definition": {**extra["definition"], "frame_ore": 700_000_100}}
    stage.refused(HEAD, "definition.frame_ore", "intake.v1.OpenExtraCall", **larger)
    stage.does(HEAD, "intake.v1.OpenExtraCall", **extra)
    stage.quiet()
    stage.expects("the frame of the extra call", stage.frame(EXTRA)["residual_ore"], 700_000_000)


# --------------------------------------------------------------------------------------------- applications


def scene_applications(stage):
    """Municipalities write, alone or together; a county may not."""
    stage.calendar("2024-06-10T09:00:00+02:00")
    county = next(org for org in stage.organisations.values() if org["form"] == "FYLK")
    stage.refused(f"agder.editor:EDITOR:{county['organisation_number']}",
                  "only municipalities .KOMM. may apply",
                  "intake.v1.StartDraft",
                  application_id=made_id("county"), call_id=EXTRA)
    for case in stage.having(call=EXTRA):
        draft(stage, case)
    for case in stage.having("partners"):
        confirm(stage, case)
    for case in stage.having(call=EXTRA):
        request(stage, case)
    for case in stage.having("partners"):
        partner = next(iter(case.facts["partners"]))
        stranger = f"{partner}.signer:APPROVER:{case.facts['partners'][partner]}"
        stage.refused(stranger, "only the lead", "approval.v1.Approve",
                      **to_sign(stage, case, "APPLICATION"))


def draft(stage, case):
    stage.does(case.editor, "intake.v1.StartDraft", application_id=case.id, call_id=case.call)
    version = 0
    if case.facts.get("unbalanced_first"):
        version = unbalanced(stage, case)
    stage.does(case.editor, "intake.v1.SaveDraft", application_id=case.id, expected_version=version,
               content=case.content)
    stage.say(f"    {case.name} drafts «{case.content['title']}», {kroner(case.applied_ore)}")


def unbalanced(stage, case):
    """A budget one krone out, no own contribution, four years: saved, and told when approval is asked for."""
    budget = case.content["budget"][0]
    out = {**case.content, "budget": [{**budget, "grant_ore": budget["grant_ore"] + 100}]}
    stage.does(case.editor, "intake.v1.SaveDraft", application_id=case.id, expected_version=0, content=out)
    stage.refused(case.editor, "does not balance", "intake.v1.RequestApproval", application_id=case.id,
                  expected_version=1)
    stage.refused(case.editor, "expected_version", "intake.v1.SaveDraft", application_id=case.id,
                  expected_version=0,
                  content=out)
    none = {**case.content,
            "budget": [{**budget, "own": [], "grant_ore": sum(line["cost_ore"] for line in budget["lines"])}]}
    stage.does(case.editor, "intake.v1.SaveDraft", application_id=case.id, expected_version=1, content=none)
    stage.refused(case.editor, "must contribute of their own", "intake.v1.RequestApproval",
                  application_id=case.id, expected_version=2)
    four = {**case.content, "budget": [{**budget, "year": 2024 + n} for n in range(4)]}
    stage.does(case.editor, "intake.v1.SaveDraft", application_id=case.id, expected_version=2, content=four)
    stage.refused(case.editor, "has 4 years", "intake.v1.RequestApproval", application_id=case.id,
                  expected_version=3)
    return 3


def confirm(stage, case):
    version = 1
    stage.refused(case.editor, "has not confirmed", "intake.v1.RequestApproval", application_id=case.id,
                  expected_version=version)
    for partner in case.facts["partners"]:
        stage.does(case.partner_editor(partner), "intake.v1.ConfirmParticipation", application_id=case.id,
                   content_version=version)


def request(stage, case):
    stage.does(case.editor, "intake.v1.RequestApproval", application_id=case.id,
               expected_version=int(stage.does(case.editor, "intake.v1.GetApplication",
                                               application_id=case.id)["content_version"]))


def to_sign(stage, case, kind):
    """What waits for a signature, as the signer sees it."""
    def look():
        waiting = stage.does(OFFICER, "approval.v1.ListSignOffs",
                             organisation_number=case.organisation).get("open", [])
        return next((one for one in waiting if one["application_id"] == case.id and one["kind"] == kind),
                    None)
    one = stage.until(f"{kind} of {case.name} to wait for a signature", look)
    return dict(application_id=case.id, kind=kind, version=int(one["version"]),
                content_sha256=one["content_sha256"])


def sign(stage, case):
    """The director's signature is the delivery."""
    stage.does(case.signer, "approval.v1.Approve", **to_sign(stage, case, "APPLICATION"))


def scene_deadline(stage):
    """Most sign in good time; one at the last second, one a second too late, one never."""
    stage.calendar("2024-06-12T14:00:00+02:00")
    for case in stage.having("no sign_at", "no never_signed", call=EXTRA):
        if case.facts.get("signer") == "DISTRICT_DIRECTOR":
            stage.refused(case.editor, "for the role APPROVER", "approval.v1.Approve",
                          **to_sign(stage, case, "APPLICATION"))
        sign(stage, case)
        stage.becomes(case, "SUBMITTED")
    for case in stage.having("withdrawn"):
        stage.does(case.signer, "intake.v1.Withdraw", application_id=case.id, reason=case.facts["withdrawn"])
        stage.becomes(case, "WITHDRAWN")
        stage.say(f"    {case.name} takes its application back")
    for case in sorted(stage.having("sign_at"), key=lambda case: case.facts["sign_at"]):
        stage.calendar(case.facts["sign_at"])
        sign(stage, case)
        stage.becomes(case, "SUBMITTED_LATE" if case.facts.get("late") else "SUBMITTED")
        stage.say(f"    {case.name} signs at {instant(case.facts['sign_at']) // 1_000_000}: "
                  f"{'late' if case.facts.get('late') else 'in time'}")
    if not stage.having("late"):
        stage.calendar("2024-06-15T00:00:00+02:00")
    stage.until("the extra call to close",
                lambda: stage.does(AUDITOR, "intake.v1.GetCall", call_id=EXTRA)["closed"])
    stage.calendar("2024-06-16T00:00:00+02:00")
    for case in stage.having("never_signed"):
        stage.becomes(case, "EXPIRED")
        stage.say(f"    {case.name}'s director never signed: the draft has expired")


# ----------------------------------------------------------------------------------------------- evaluation


def scene_checks(stage):
    """Formal checks; the late one and the one outside the area are not assessed."""
    stage.calendar("2024-06-17T09:00:00+02:00")
    stage.quiet()
    for case in stage.having("late"):
        impartial(stage, case, HEAD)
        stage.does(HEAD, "evaluation.v1.RejectLate", application_id=case.id, reason=case.facts["late"])
        stage.becomes(case, "REJECTED")
        stage.say(f"    {case.name} is rejected: late")
    for case in stage.having("rejected"):
        rejected = case.facts["rejected"]
        check(stage, case, rejected["item"])
        stage.does(HEAD, "evaluation.v1.Reject", application_id=case.id, ground=rejected["ground"],
                   reason=rejected["reason"])
        stage.becomes(case, "REJECTED")
        stage.say(f"    {case.name} is rejected: {rejected['ground']}")
    for case in stage.having("readers", call=EXTRA):
        check(stage, case)


def impartial(stage, case, *people):
    for person in people:
        stage.does(person, "evaluation.v1.DeclareInterest", application_id=case.id, conflict=False)


FORMAL = ["ELIGIBLE_APPLICANT", "AUTHORISED_APPROVAL", "RIGHT_AREA", "OWN_CONTRIBUTION", "COMPLETE"]


def check(stage, case, not_met=None):
    stage.refused(OFFICER, "declare your interest", "evaluation.v1.AnswerFormalCheck",
                  application_id=case.id, items=[
        {"item": item, "answer": "MET"} for item in FORMAL])
    impartial(stage, case, OFFICER, HEAD)
    items = [{"item": item, "answer": "NOT_MET", "note": "Se begrunnelsen."} if item == not_met
             else {"item": item, "answer": "MET"}
             for item in FORMAL]
    stage.does(OFFICER, "evaluation.v1.AnswerFormalCheck", application_id=case.id, items=items)


def read(stage, case):
    """Two readers score every criterion, each with a reason; the first one completes and recommends."""
    readers = case.readers_in_the_end
    for place in (0, 1):
        impartial(stage, case, case.reader(place))
        assign(stage, case, place + 1, case.reader(place))
    if case.facts.get("conflicted"):
        conflict(stage, case)
    for place, reader in enumerate(readers):
        for criterion, values in case.facts["scores"].items():
            score(stage, case, reader, criterion, values[place])
    if case.facts.get("third"):
        third(stage, case, readers[0])
    stage.does(readers[0], "evaluation.v1.CompleteEvaluation", **completion(case))
    recommend(stage, case, readers[0])


def assign(stage, case, place, reader, reason=""):
    stage.does(HEAD, "evaluation.v1.AssignReader", application_id=case.id, place=place,
               person=reader.split(":")[0], reason=reason)


def conflict(stage, case):
    """A reader finds that the applicant is a former employer: out, for good, and somebody else comes in."""
    place = case.facts["readers"].index(case.facts["conflicted"])
    stage.does(case.reader(place), "evaluation.v1.DeclareInterest", application_id=case.id, conflict=True,
               ground="fvl. § 6 annet ledd", relation={"text": "ansatt hos søkeren inntil i fjor"})
    stage.refused(case.reader(place), "you declared a conflict of interest", "evaluation.v1.Score",
                  application_id=case.id, criterion="F",
                  value=5, reason="Skal ikke telle.")
    stage.refused(case.reader(place), "you declared a conflict of interest", "evaluation.v1.GetCase",
                  application_id=case.id)
    substitute = case.readers_in_the_end[place]
    impartial(stage, case, substitute)
    assign(stage, case, place + 1, substitute, reason="Inhabil, se erklæringen.")
    stage.say(f"    {case.name}: a reader declared a conflict and was replaced")


REASONS = {"F": "Vurdert mot formålet med ordningen og satsingsområdet.",
           "G1": "Vurdert på grunnlag av plan, bemanning, budsjett og tidligere prosjekter.",
           "G2": "Vurdert etter hvor mye aktivitetene bidrar til målene.",
           "O": "Vurdert etter produkter, mottakere og kanal i overføringsplanen."}


def score(stage, case, reader, criterion, value):
    stage.does(reader, "evaluation.v1.Score", application_id=case.id, criterion=criterion, value=value,
               reason=REASONS[criterion])


def third(stage, case, first):
    """The two are too far apart on a criterion: a third reader settles it."""
    stage.refused(first, "a third reader must score it", "evaluation.v1.CompleteEvaluation",
                  **completion(case))
    reader = f"imdi.{case.facts['third']['reader']}:READER"
    impartial(stage, case, reader)
    assign(stage, case, 3, reader)
    for criterion, value in case.facts["third"]["score"].items():
        score(stage, case, reader, criterion, value)


def completion(case):
    return dict(application_id=case.id, not_ordinary_operation=True, earlier_project_shown=True,
                ordinary_operation_note="Tiltaket er utprøving og ikke ordinær drift.",
                earlier_project_note="Tidligere prosjekt er vist og dokumentert.",
                reason="Samlet vurdering etter de fire kriteriene.")


def recommended_ore(case):
    return 100 * case.facts.get("recommended", case.facts.get("award", 0))


def recommend(stage, case, reader):
    amount = recommended_ore(case)
    stage.refused(reader, "that were applied for", "evaluation.v1.Recommend", application_id=case.id,
                  award=True,
                  amount_ore=case.applied_ore + 100,
                  reason="Mer enn det er søkt om.")
    stage.does(reader, "evaluation.v1.Recommend", application_id=case.id, award=amount > 0, amount_ore=amount,
               reason="Innstilling etter kriteriene F, G1, G2 og O.", cuts=case.facts.get("cuts", ""))


def scene_evaluation(stage):
    stage.calendar("2024-06-24T09:00:00+02:00")
    for case in stage.having("readers", call=EXTRA):
        read(stage, case)
        stage.becomes(case, "RECOMMENDED")
        amount = recommended_ore(case)
        stage.say(f"    {case.name} is read and recommended: {kroner(amount) if amount else 'refusal'}")


# ------------------------------------------------------------------------------------------------ decisions


def scene_decisions(stage):
    """A proposal is computed, and a person decides, case by case, within the frame."""
    stage.calendar("2024-07-03T10:00:00+02:00")
    stage.quiet()
    round_id = made_id("round 1")
    stage.does(BUDGET, "allocation.v1.ProposeAllocation", round_id=round_id, call_id=EXTRA,
               method="DISCRETION", threshold=0)
    stage.expects("the proposal computed again",
                  stage.does(AUDITOR, "allocation.v1.RecomputeProposal", round_id=round_id)["equal"],
                  True)
    awarded = stage.having("award", "no reserve", call=EXTRA)
    refused_to_the_wrong_people(stage, awarded[0])
    for case in awarded:
        award(stage, case)
    left = stage.frame(EXTRA)["residual_ore"]
    stage.expects("the residual after the awards", left,
                  700_000_000 - sum(case.award_ore for case in awarded))
    for case in stage.having("reserve"):
        stage.refused(BUDGET, "more than the residual", "allocation.v1.DecideAward",
                      **decision(case, case.award_ore))
        stage.does(BUDGET, "allocation.v1.PutOnReserve", application_id=case.id, rank=case.facts["reserve"],
                   reason="God søknad; rammen er brukt opp.")
        stage.becomes(case, "RESERVE")
        stage.say(f"    {case.name} is number {case.facts['reserve']} on the reserve list")
    for case in stage.having("refused"):
        refuse(stage, case)


def decision(case, amount_ore, year=2024):
    return dict(application_id=case.id, amount_ore=amount_ore, evaluation_version=1, year=year,
                legal_basis=True,
                budget_cover=True, financially_sound=True,
                reason="Tildelt etter vurderingen av kriteriene F, G1, G2 og O.")


def refused_to_the_wrong_people(stage, case):
    """Who recommended may not decide; nor without confirmations, for another year, above the request."""
    recommender = case.readers_in_the_end[0].split(":")[0]
    stage.refused(f"{recommender}:BUDGET_HOLDER", "another must decide it", "allocation.v1.DecideAward",
                  **decision(case, case.award_ore))
    stage.refused(BUDGET, "financially_sound must be confirmed", "allocation.v1.DecideAward",
                  **{**decision(case, case.award_ore), "financially_sound": False})
    stage.refused(BUDGET, "has no appropriation", "allocation.v1.DecideAward",
                  **decision(case, case.award_ore, year=2025))
    stage.refused(BUDGET, "that were applied for", "allocation.v1.DecideAward",
                  **decision(case, case.applied_ore + 100_000))


def award(stage, case):
    stage.does(BUDGET, "allocation.v1.DecideAward", **decision(case, case.award_ore))
    stage.becomes(case, "AWARDED")
    part = "" if case.award_ore == case.applied_ore else f" of {kroner(case.applied_ore)} applied for"
    stage.say(f"    {case.name} is awarded {kroner(case.award_ore)}{part}")


def refuse(stage, case):
    reasons = dict(rules="Rundskriv 08/2024 og utlysningen, kriteriene F, G1, G2 og O.",
                   facts="Søknaden og vurderingene fra to lesere.",
                   considerations="Søknaden er rangert etter søknader som svarer bedre på F og O.")
    ground = case.facts["refused"]
    stage.refused(BUDGET, "considerations is missing", "allocation.v1.DecideRefusal", application_id=case.id,
                  ground=ground,
                  **{**reasons, "considerations": ""})
    stage.does(BUDGET, "allocation.v1.DecideRefusal", application_id=case.id, ground=ground, **reasons)
    stage.becomes(case, "REFUSED")
    stage.say(f"    {case.name} is refused: {ground}")


# ------------------------------------------------------------------------------------ letters and acceptance


def scene_letters(stage):
    stage.calendar("2024-07-05T12:00:00+02:00")
    for case in stage.having("award", "no reserve", call=EXTRA):
        letter(stage, case)


def letter(stage, case):
    stage.does(OFFICER, "allocation.v1.IssueLetter", application_id=case.id)
    stage.becomes(case, "OFFERED")
    if case.facts.get("new_letter"):
        stage.refused(OFFICER, "reason is missing", "allocation.v1.IssueLetter", application_id=case.id)
        stage.does(OFFICER, "allocation.v1.IssueLetter", application_id=case.id,
                   reason=case.facts["new_letter"])


def scene_acceptance(stage):
    """Directors accept, condition by condition; silence is not acceptance."""
    stage.calendar("2024-07-10T10:00:00+02:00")
    for case in stage.having("award", "no reserve", "no lapses", call=EXTRA):
        accept(stage, case)
    for case in stage.having("lapses"):
        lapse(stage, case)
    for case in stage.having("reserve"):
        stage.quiet()
        award(stage, case)
        letter(stage, case)
        accept(stage, case)


def accept(stage, case):
    found = stage.does(case.editor, "allocation.v1.GetLetter", application_id=case.id)
    terms = dict(application_id=case.id, letter_version=int(found["letter"]["letter_version"]),
                 letter_sha256=found["letter_sha256"],
                 conditions=[one["id"] for one in found["letter"]["conditions"]],
                 account_number=case.facts["account"],
                 kid=case.facts.get("kid", ""), project_number="P-2024-08")
    if case.facts.get("new_letter"):
        stage.refused(case.editor, "is not the current one", "allocation.v1.Accept",
                      **{**terms, "letter_version": 1})
        stage.refused(case.editor, "every one must be", "allocation.v1.Accept",
                      **{**terms, "conditions": terms["conditions"][1:]})
        stage.refused(case.editor, "must be empty", "allocation.v1.Accept",
                      **{**terms, "remark": "Vi forbeholder oss retten til resultatene."})
        wrong = terms["account_number"][:-1] + str((int(terms["account_number"][-1]) + 1) % 10)
        stage.refused(case.editor, "account_number", "allocation.v1.Accept",
                      **{**terms, "account_number": wrong})
    if case.facts.get("bank_rejects"):
        stage.refused(PAYMENTS, "due when the letter is accepted", "payment.v1.PreparePayment",
                      **preparation(case))
    stage.does(case.editor, "allocation.v1.Accept", **terms)
    stage.does(case.signer, "approval.v1.Approve", **to_sign(stage, case, "ACCEPTANCE"))
    stage.becomes(case, "ACCEPTED")
    stage.say(f"    {case.name} accepts {kroner(case.award_ore)}")


def lapse(stage, case):
    """Nobody accepted: a person confirms that the offer lapses, and the money is back in the frame."""
    before = stage.frame(EXTRA)["residual_ore"]
    stage.refused(OFFICER, "has not passed", "allocation.v1.ConfirmLapse", application_id=case.id,
                  reason="For tidlig.")
    stage.calendar("2024-07-22T09:00:00+02:00")
    stage.until("the acceptance to be missed", lambda: missed(stage, case))
    stage.does(OFFICER, "allocation.v1.ConfirmLapse", application_id=case.id,
               reason="Ingen aksept innen fristen.")
    stage.becomes(case, "LAPSED")
    stage.expects("the residual after the lapse", stage.frame(EXTRA)["residual_ore"], before + case.award_ore)
    stage.say(f"    {case.name} did not accept: {kroner(case.award_ore)} is back in the frame")


def missed(stage, case):
    found = stage.does(AUDITOR, "reporting.v1.GetCase", application_id=case.id)
    return any(moment["type"] == "allocation.v1.AcceptanceMissed" for moment in found["timeline"])


# ------------------------------------------------------------------------------------------------- payments


def scene_payments(stage):
    """Prepared, disposed, attested and released by different people; the bank says what became of it."""
    stage.calendar("2024-08-05T09:00:00+02:00")
    pay(stage, stage.having("award", "no lapses", call=EXTRA))


def preparation(case):
    return dict(payment_key=case.payment_key, coding="0671.62/6310/4200", value_date="2024-03-06"
                if case.call == MAIN else "2024-08-07")


def payment(stage, case):
    answer = stage.speaker.ask("payment.v1.GetPayment", {"payment_key": case.payment_key}, PAYMENTS)
    return answer.body if answer.status == "OK" else {}


def pay(stage, cases):
    """All are released, then the bank's answers are awaited."""
    for case in cases:
        release(stage, case)
    for case in cases:
        if case.facts.get("bank_rejects"):
            again(stage, case)
        settled(stage, case, "CONFIRMED")
        stage.becomes(case, "PAID")
        stage.refused(PAYMENTS, "CONFIRMED", "payment.v1.PreparePayment", **preparation(case))
        stage.say(f"    {case.name} is paid {kroner(case.award_ore)}")


def release(stage, case):
    stage.until(f"a payment to {case.name} to be due", lambda: payment(stage, case).get("state") == "DUE")
    stage.does(PAYMENTS, "payment.v1.PreparePayment", **preparation(case))
    key = dict(payment_key=case.payment_key, content_sha256=payment(stage, case)["content_sha256"])
    sound = dict(legal_basis=True, budget_cover=True, financially_sound=True)
    right = dict(agrees_with_decision=True, acceptance_received=True, coding_right=True,
                 account_belongs_to_recipient=True)
    if case.facts.get("bank_rejects"):
        four_eyes(stage, key, sound, right)
        return
    stage.does(BUDGET, "payment.v1.Dispose", **key, **sound)
    stage.does(ATTESTANT, "payment.v1.Attest", **key, **right)
    stage.does(AUTHORISER, "payment.v1.Authorise", **key)


def four_eyes(stage, key, sound, right):
    """The same three signatures, and everyone who may not give them tries."""
    disposer, attestant = BUDGET.split(":")[0], ATTESTANT.split(":")[0]
    other = {**key, "content_sha256": "0" * 64}
    stage.refused(AUTHORISER, "ATTESTED", "payment.v1.Authorise", **key)
    stage.refused(BUDGET, "content_sha256", "payment.v1.Dispose", **other, **sound)
    stage.does(BUDGET, "payment.v1.Dispose", **key, **sound)
    stage.refused(f"{disposer}:ATTESTANT", "someone else", "payment.v1.Attest", **key, **right)
    stage.does(ATTESTANT, "payment.v1.Attest", **key, **right)
    stage.refused(f"{attestant}:AUTHORISER", "someone else", "payment.v1.Authorise", **key)
    stage.does(AUTHORISER, "payment.v1.Authorise", **key)


def settled(stage, case, state):
    stage.until(f"the bank to say {state} about {case.name}",
                lambda: payment(stage, case).get("state") == state)


def again(stage, case):
    """The bank rejects: the same key, the next attempt, never a second payment."""
    settled(stage, case, "FAILED")
    stage.say(f"    the bank rejects the payment to {case.name}: {payment(stage, case)['last_text']}")
    stage.does(PAYMENTS, "payment.v1.RetryPayment", payment_key=case.payment_key,
               reason="Banken avviste; kontoen er bekreftet åpen.")


# -------------------------------------------------------------------------------------------------- reports


def scene_reports(stage):
    """Final report and accounts, signed by two people; one is returned, one has money left."""
    stage.calendar("2025-01-20T09:00:00+01:00")
    cases = stage.having("award", "no lapses")
    for case in cases:
        stage.until(f"reporting of {case.name} to open", lambda: report_state(stage, case)["state"] == "OPEN")
        report(stage, case)
        if case.facts.get("report_returned"):
            returned(stage, case)
        approve_report(stage, case)
    stage.calendar("2025-02-10T09:00:00+01:00")
    for case in stage.having("unspent"):
        repay(stage, case)
    stage.quiet()
    for case in cases:
        stage.does(OFFICER, "reporting.v1.CloseGrant", application_id=case.id)
        stage.becomes(case, "CLOSED")
    stage.say(f"    {len(cases)} grants are closed")


def report_state(stage, case):
    return stage.does(OFFICER, "reporting.v1.GetReport", application_id=case.id)


def accounts(stage, case):
    """Booked as budgeted, less what was cut and what was not spent; what differs is explained."""
    granted = stage.does(case.editor, "allocation.v1.GetLetter", application_id=case.id)["letter"]
    lines = [{"code": line["code"], "booked_ore": int(line["amount_ore"])} for line in granted["lines"]]
    own, other = int(granted["own_ore"]), int(granted["other_ore"])
    spend = case.award_ore + own + other - 100 * case.facts.get("unspent", 0)
    largest = max(lines, key=lambda line: line["booked_ore"])
    difference = spend - sum(line["booked_ore"] for line in lines)
    if difference:
        largest["booked_ore"] += difference
        largest["explanation"] = "Lavere enn budsjettert: stillingen ble besatt senere enn planlagt."
    return lines, own, other, [goal["id"] for goal in granted["goals"]]


def submission(stage, case):
    lines, own, other, goals = accounts(stage, case)
    answers = [{"goal": goal, "degree": "REACHED", "evidence": "Se vedlagt sluttrapport, kapittel 3."}
               for goal in goals]
    answers[-1].update(degree="PARTLY", deviation="Opplæringen nådde færre enn planlagt det første halvåret.")
    return dict(goals=answers, activities="Aktivitetene er gjennomført etter planen.",
                lessons="Start rekrutteringen tidligere.",
                products=[{"title": case.content["transfer"]["product"], "where": "Kommunens nettsider",
                           "audience": case.content["transfer"]["recipients"]}],
                use_of_grant="Tilskuddet er brukt som forutsatt i tilskuddsbrevet.", lines=lines,
                own_delivered_ore=own,
                other_received_ore=other, year=2024, voucher_dates=["2024-08-20", "2024-12-18"],
                ledger_export_sha256="5a" * 32)


def report(stage, case, version=0):
    told = submission(stage, case)
    if case.facts.get("unspent"):
        late = {**told, "voucher_dates": ["2024-08-20", "2025-01-02"]}
        stage.refused(case.editor, "voucher date 2025-01-02", "reporting.v1.SubmitReport",
                      application_id=case.id,
                      expected_version=version, report=late)
    stage.does(case.editor, "reporting.v1.SubmitReport", application_id=case.id, expected_version=version,
               report=told)
    wait = to_sign(stage, case, "REPORT")
    stage.does(case.owner, "approval.v1.Approve", **wait)
    if case.facts.get("unspent"):
        twice = f"{case.owner.split(':')[0]}:SUPERIOR_LEADER:{case.organisation}"
        stage.refused(twice, "must be another person's", "approval.v1.Approve", **wait)
    stage.does(case.leader, "approval.v1.Approve", **wait)
    stage.becomes(case, "REPORTED")


def returned(stage, case):
    stage.does(OFFICER, "reporting.v1.ReturnReport", application_id=case.id,
               faults=[case.facts["report_returned"]],
               reply_by_at_us=instant("2025-02-03T00:00:00+01:00"))
    stage.quiet()
    version = int(report_state(stage, case)["report_version"])
    report(stage, case, version)
    stage.say(f"    {case.name}'s report was returned and corrected")


def approve_report(stage, case):
    state = report_state(stage, case)
    stage.expects(f"what {case.name} has left", int(state["unspent_ore"]), 100 * case.facts.get("unspent", 0))
    if case.facts.get("unspent"):
        stage.refused(OFFICER, "note is missing", "reporting.v1.ApproveReport", application_id=case.id,
                      report_version=int(state["report_version"]))
    stage.does(OFFICER, "reporting.v1.ApproveReport", application_id=case.id,
               report_version=int(state["report_version"]),
               note="Ubrukte midler kreves tilbake." if case.facts.get("unspent") else "")
    stage.becomes(case, "REPORT_APPROVED")


def repay(stage, case):
    """What was not spent is decided, claimed with a KID, and paid back."""
    amount = 100 * case.facts["unspent"]
    decided = dict(application_id=case.id, amount_ore=amount, reason="Ubrukt ifølge godkjent regnskap.")
    stage.refused(OFFICER, "for the role BUDGET_HOLDER", "reporting.v1.DecideRepayment", **decided)
    stage.refused(f"{OFFICER.split(':')[0]}:BUDGET_HOLDER", "someone else must decide",
                  "reporting.v1.DecideRepayment", **decided)
    stage.does(BUDGET, "reporting.v1.DecideRepayment", **decided)
    claim = stage.until("the claim", lambda: claim_of(stage, case))
    stage.quiet()
    stage.refused(OFFICER, "is outstanding", "reporting.v1.CloseGrant", application_id=case.id)
    received = dict(kid=claim["kid"], receipt_id=f"bank-{case.key}-1")
    stage.refused(PAYMENTS, "more than the .* outstanding", "payment.v1.RecordRepayment",
                  amount_ore=amount + 1,
                  **received)
    stage.does(PAYMENTS, "payment.v1.RecordRepayment", amount_ore=amount, **received)
    stage.until("the claim to be paid", lambda: not int(claim_of(stage, case)["outstanding_ore"]))
    stage.say(f"    {case.name} pays back {kroner(amount)} on KID {claim['kid']}")


def claim_of(stage, case):
    claims = stage.does(PAYMENTS, "payment.v1.ListClaims", call_id=case.call).get("claims", [])
    return next((claim for claim in claims if claim["application_id"] == case.id), None)


SCENES = [
    ("the registers", scene_registers),
    ("the main round", scene_main_round),
    ("an extra call on what was left", scene_extra_call),
    ("a dozen municipalities apply", scene_applications),
    ("deadline night", scene_deadline),
    ("formal checks", scene_checks),
    ("two readers for each", scene_evaluation),
    ("decisions within the frame", scene_decisions),
    ("letters", scene_letters),
    ("acceptance, a lapse, the reserve", scene_acceptance),
    ("payments", scene_payments),
    ("reports, accounts, repayment", scene_reports),
]


def play(stage, after=lambda title: None):
    """All scenes in order; `after` is called when one is over."""
    for number, (title, scene) in enumerate(SCENES, 1):
        stage.say(f"{number:2}. {title}")
        scene(stage)
        after(title)
    stage.quiet()
