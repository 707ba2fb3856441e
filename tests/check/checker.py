"""The independent checker: reads what was acknowledged, the log, the services' tables and the bank's ledger, and
says in sentences what does not fit. It shares no code with the services: the hash rule is written again from
RFC 9162, the contract is read from proto/.
"""

import hashlib
import json
import pathlib

import psycopg2

import contract

SERVICES = ["intake", "approval", "evaluation", "allocation", "payment", "reporting"]


def check(stack, acks, delivered=()):
    """All faults, as sentences; none is good. The stack is at rest. `delivered` are applications whose signature was
    acknowledged: each must have been delivered once."""
    connection = psycopg2.connect(stack.cluster.url("postgres"))
    connection.set_session(readonly=True, autocommit=True)
    try:
        events = read_log(connection)
        return [*order(connection), *tree(connection, events), *streams(events),
                *acknowledged(connection, acks), *delivered_once(events, delivered),
                *nothing_left(connection), *frame(events), *paid_once(events), *bank(stack, events),
                *four_eyes(events),
                *in_time(events), *sanitizers(stack)]
    finally:
        connection.close()


def rows(connection, statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def story(stack):
    """What the log tells, stream by stream: who did what, when by the calendar, and with what in it. Two runs of
    one play tell the same, whatever happened on the way; only what the services made up by chance (ids of
    events) and the order between streams may differ, and neither is in it."""
    connection = psycopg2.connect(stack.cluster.url("postgres"))
    connection.set_session(readonly=True, autocommit=True)
    try:
        told = {}
        for event in read_log(connection):
            one = event.envelope
            told.setdefault(one.stream, []).append(
                [one.type, one.time_us, one.actor.subject, one.subject, contract.as_dict(event.body)])
        return told
    finally:
        connection.close()


class Event:
    def __init__(self, position, data):
        self.position = position
        self.bytes = data
        self.envelope = contract.decode("eventlog.v1.Event", data)
        self.type = self.envelope.type
        self.body = contract.decode(self.type, self.envelope.data)


def read_log(connection):
    return [Event(position, bytes(data))
            for position,
            data in rows(connection, "SELECT position, bytes FROM eventlog.log ORDER BY position")]


# ---------------------------------------------------------------------------------------------- the log


def order(connection):
    positions = [row[0] for row in rows(connection, "SELECT position FROM eventlog.log ORDER BY position")]
    if positions != list(range(1, len(positions) + 1)):
        yield f"the log's positions are not 1 to {len(positions)} without a gap"
    if not positions:
        yield "the log is empty"


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def tree_roots(leaves, sizes):
    """The root of RFC 9162 2.1.1 over the first n leaves, for each n of `sizes`, in one pass.

    A tree of n leaves is perfect subtrees, one for each bit of n, the largest first; its root joins them from the
    right. Appending a leaf joins equals."""
    wanted, roots, peaks = set(sizes), {}, []
    if 0 in wanted:
        roots[0] = hashlib.sha256(b"").digest()
    for size, leaf in enumerate(leaves, 1):
        peaks.append(leaf)
        joins = size
        while joins % 2 == 0:
            right = peaks.pop()
            peaks.append(hashlib.sha256(b"\1" + peaks.pop() + right).digest())
            joins //= 2
        if size in wanted:
            root = peaks[-1]
            for left in reversed(peaks[:-1]):
                root = hashlib.sha256(b"\1" + left + root).digest()
            roots[size] = root
    return roots


def tree(connection, events):
    leaves = [leaf_hash(event.bytes) for event in events]
    stored = [bytes(row[0]) for row in rows(connection, "SELECT leaf FROM eventlog.log ORDER BY position")]
    if stored != leaves:
        yield "a stored leaf hash is not the hash of the stored bytes"
    recorded = rows(connection, "SELECT position, root FROM eventlog.root ORDER BY position")
    roots = tree_roots(leaves, [len(leaves), *(position for position, _ in recorded)])
    (position, root), = rows(connection, "SELECT position, root FROM eventlog.head")
    if position != len(events) or bytes(root) != roots[len(leaves)]:
        yield (f"the head says {position} and {bytes(root).hex()}, "
               f"the log holds {len(events)} and {roots[len(leaves)].hex()}")
    for position, root in recorded:
        if bytes(root) != roots.get(position):
            yield f"the root recorded at position {position} is not the tree's"


def streams(events):
    last, ids = {}, set()
    for event in events:
        one = event.envelope
        if one.version != last.get(one.stream, 0) + 1:
            yield (f"position {event.position}: stream {one.stream} goes from version {last.get(one.stream, 0)} "
                   f"to {one.version}")
        last[one.stream] = one.version
        if one.id in ids:
            yield f"position {event.position}: event {one.id} stands twice"
        ids.add(one.id)
        common = one.type == "service.v1.CaseErased" and one.stream.startswith(one.source + "/erasure/")
        if not one.stream.startswith(one.source + "/") or not (one.type.startswith(one.source + ".") or common):
            yield f"position {event.position}: {one.type} in {one.stream} is not of {one.source}"
        if not one.rehearsal:
            yield f"position {event.position}: an event of a rehearsal is not marked"


# ------------------------------------------------------------------------------------- what was promised


def acknowledged(connection, acks):
    """Every answer that was given stands in the service that gave it, with the same outcome."""
    number = contract.message("bus.v1.Reply").DESCRIPTOR.enum_types_by_name["Status"].values_by_name
    for service in SERVICES:
        stored = dict(rows(connection, f"SELECT id::text, status FROM {service}.loop_answered"))
        for ack in acks:
            if ack.service != service or not ack.type.startswith(service):
                continue
            if stored.get(ack.id) != number[ack.status].number:
                yield f"{ack.type} {ack.id} was answered {ack.status}; {service} remembers {stored.get(ack.id)}"


def delivered_once(events, delivered):
    counted = {}
    for event in events:
        if event.type == "intake.v1.ApplicationSubmitted":
            counted[event.body.application_id] = counted.get(event.body.application_id, 0) + 1
    for application in delivered:
        if counted.get(application) != 1:
            yield f"{application} was signed, and delivered {counted.get(application, 0)} times"


def nothing_left(connection):
    for service in SERVICES:
        for table in ("loop_outbox", "loop_asked", "loop_incident", "loop_parked"):
            (count,), = rows(connection, f"SELECT count(*) FROM {service}.{table}")
            if count:
                yield f"{service}.{table} holds {count} rows and should be empty at rest"
        stored = dict(rows(connection, f"SELECT id, version FROM {service}.loop_stream"))
        logged = dict(rows(connection,
                           "SELECT stream, max(version) FROM eventlog.log WHERE stream LIKE %s GROUP BY 1",
                           (service + "/%",)))
        if stored != logged:
            yield f"{service} and the log do not agree on the versions of {service}'s streams"


# ------------------------------------------------------------------------------------------------ money


def frame(events):
    """At every position live awards and reservations together stay within the frame."""
    frames, used, awards = {}, {}, {}
    for event in events:
        body = event.body
        if event.type == "allocation.v1.FrameOpened":
            frames[body.call_id] = body.frame_ore
        elif event.type == "allocation.v1.FrameReserved":
            used[body.call_id] = used.get(body.call_id, 0) + body.amount_ore
        elif event.type == "allocation.v1.AwardDecided":
            awards[body.application_id] = body.amount_ore
            used[body.call_id] = used.get(body.call_id, 0) + body.amount_ore
            if body.amount_ore > body.applied_ore:
                yield f"position {event.position}: {body.application_id} is awarded more than it applied for"
        elif event.type in ("allocation.v1.GrantLapsed", "allocation.v1.GrantDeclined",
                            "allocation.v1.GrantRenounced"):
            used[body.call_id] -= awards.pop(body.application_id)
        else:
            continue
        if used.get(body.call_id, 0) > frames[body.call_id]:
            yield (f"position {event.position}: {used[body.call_id]} øre of the frame {frames[body.call_id]} "
                   f"of {body.call_id}")


def paid_once(events):
    due, paid = {}, {}
    for event in events:
        if event.type == "payment.v1.PaymentDue":
            if event.body.payment_key in due:
                yield f"position {event.position}: {event.body.payment_key} is due twice"
            due[event.body.payment_key] = event.body.amount_ore
        elif event.type == "payment.v1.PaymentConfirmed":
            paid[event.body.payment_key] = paid.get(event.body.payment_key, 0) + event.body.amount_ore
        elif event.type == "payment.v1.PaymentReturned":
            paid[event.body.payment_key] -= event.body.amount_ore
    for key, amount in paid.items():
        if amount not in (0, due.get(key)):
            yield f"{key}: {amount} øre were paid and {due.get(key)} were due"


def bank(stack, events):
    """What the bank booked is what was confirmed: the same payments, each once, to the øre."""
    ledger = stack.folder / "trays" / "bank" / "ledger.jsonl"
    booked = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
    seen = {}
    for one in booked:
        if one["end_to_end_id"] in seen:
            yield f"the bank booked {one['end_to_end_id']} twice"
        seen[one["end_to_end_id"]] = one["amount_ore"]
    confirmed = {event.body.end_to_end_id: event.body.amount_ore
                 for event in events if event.type == "payment.v1.PaymentConfirmed"}
    if confirmed != seen:
        yield (f"confirmed {sum(confirmed.values())} øre in {len(confirmed)} payments, "
               f"booked {sum(seen.values())} in {len(seen)}")


def four_eyes(events):
    hands, prepared = {}, {}
    for event in events:
        body = event.body
        if event.type in ("payment.v1.PaymentPrepared", "payment.v1.AccountChanged"):
            hands[body.payment_key] = {}
        for kind, field in (("PaymentPrepared", "prepared_by"), ("PaymentDisposed", "disposed_by"),
                            ("PaymentAttested", "attested_by"), ("PaymentAuthorised", "authorised_by")):
            if event.type == f"payment.v1.{kind}":
                hands[body.payment_key][field] = getattr(body, field)
        if event.type == "payment.v1.PaymentAuthorised":
            people = hands[body.payment_key]
            if len({people.get("disposed_by"), people.get("attested_by"), people.get("authorised_by")}) != 3:
                yield f"position {event.position}: {body.payment_key} was released by {people}"
        if event.type == "evaluation.v1.RecommendationMade":
            prepared.setdefault(body.application_id, set()).add(body.recommended_by)
        if event.type == "evaluation.v1.EvaluationCompleted":
            prepared.setdefault(body.application_id, set()).update(body.readers)
        if event.type == "allocation.v1.AwardDecided":
            if body.decided_by in prepared.get(body.application_id, ()):
                yield f"position {event.position}: {body.decided_by} decides what that person read or recommended"
        if event.type == "approval.v1.SignedOff" and body.sign_off_id.endswith(":report"):
            if len({signature.person for signature in body.signatures}) != 2:
                yield f"position {event.position}: a report is not signed by two people"


def in_time(events):
    """In time or late follows from what is stored: when it was signed, and the deadline it was held against."""
    for event in events:
        body = event.body
        if event.type == "intake.v1.ApplicationSubmitted" and body.signed_at_us >= body.deadline_at_us:
            yield f"position {event.position}: {event.body.application_id} was late and counts as in time"
        if event.type == "intake.v1.ApplicationSubmittedLate":
            sent = event.body.submission
            late_us = sent.signed_at_us - sent.deadline_at_us
            if late_us < 0 or late_us != body.late_us:
                yield f"position {event.position}: {sent.application_id} was in time and counts as late"


def sanitizers(stack):
    for path in sorted(pathlib.Path(stack.folder, "log").glob("*.log")):
        text = path.read_text(errors="replace")
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion `"):
            if word in text:
                line = next(line for line in text.splitlines() if word in line)
                yield f"{path.name}: {line.strip()}"
