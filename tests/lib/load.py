"""A steady load of applications, by a client of its own kind: many requests under way at once, told apart by id.

Each application is begun, saved, frozen and signed; the signature delivers it. What is silent is asked again under the
same id, what is told to come later comes later, and every answer is remembered: what was acknowledged must be found in
the end, and nothing may be answered but OK and RESOURCE_EXHAUSTED (UNAVAILABLE is no answer: "ask again").
"""

import collections
import heapq
import itertools
import json
import threading
import time
import uuid

import zmq

import client
import containers
import contract
import play

SILENCE_S = 2.0      # doubled with each try, up to
LONGEST_SILENCE_S = 8.0
AT_ONCE = 50         # begun between two looks at the socket
LOOK_S = 1.0         # between two looks at what waits for a signature
PINGS_MS = 2000      # a connection that is dead under us is found and made anew
SIGNER = "load.director"
CONTENT = json.loads((play.DATA / "applications" / "larvik.json").read_text())


class Request:
    """One command or query under way, asked under one id until it is answered for good."""

    def __init__(self, type, body, who, then, again=True):
        self.id = str(uuid.uuid4())
        self.type, self.body, self.who, self.then, self.again = type, body, who, then, again
        self.service = client.service_of(type)
        self.began = time.monotonic()
        self.tries = 0
        self.due = 0.0


class Load:
    """Applications at `rate` a second until finish(); at most `most` of them under way at once. Or `drafts`: each ends with
    its first command."""

    def __init__(self, house, call, organisations, rate=5.0, most=60, drafts=False):
        self.house, self.call, self.rate, self.most, self.drafts = house, call, rate, most, drafts
        self.organisations = organisations
        self.acks = []                            # for the checker
        self.delivered = []                       # applications whose signature was acknowledged
        self.answers = collections.Counter()      # (type's last word, status)
        self.retry_after_ms = []                  # told with RESOURCE_EXHAUSTED
        self.wrong = []                           # sentences: answers that should not have been
        self.longest_s = 0.0
        self.under_way = {}                       # id -> Request
        self.waiting = {}                         # application id -> its organisation, frozen and not signed
        self.order = itertools.count()
        self.timers = []                          # (when, number, id)
        self.applications = 0                     # begun and not yet at their end
        self.begun = 0
        self.stopping = threading.Event()
        self.fault = None
        self.thread = threading.Thread(target=self.guarded, daemon=True)

    # From the test's thread.

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stopping.set()
        self.applications = 0
        self.under_way = {}
        self.thread.join(10)

    def progress(self, more=10, seconds=40):
        """Until so many more applications came to their end than now: the whole way is open."""
        before, end = self.ended(), time.monotonic() + seconds * containers.slack()
        while self.ended() < before + more:
            self.alive()
            if time.monotonic() > end:
                raise AssertionError(f"in {seconds} s only {self.ended() - before} of {more} applications came to their end; "
                                     f"{self}")
            time.sleep(0.05)
        return self

    def finish(self, seconds=60):
        """Begin nothing new; until all that was begun has come to its end."""
        self.stopping.set()
        self.thread.join(seconds * containers.slack())
        self.alive()
        if self.thread.is_alive():
            raise AssertionError(f"after {seconds} s not all has come to its end; {self}")
        assert not self.wrong, "\n".join(self.wrong[:20])
        assert len(self.delivered) == len(set(self.delivered)) == (0 if self.drafts else self.begun)
        return self

    def ended(self):
        return self.begun - self.applications

    def alive(self):
        if self.fault:
            raise self.fault

    def __str__(self):
        waits = collections.Counter(one.type.split(".")[-1] for one in list(self.under_way.values()))
        return (f"{len(self.delivered)} of {self.begun} delivered, {len(self.waiting)} await a signature, "
                f"under way {dict(waits)}, longest {self.longest_s:.1f} s, "
                f"answers { {' '.join(key): count for key, count in sorted(self.answers.items())} }, wrong {self.wrong[:3]}")

    # The load's own thread.

    def guarded(self):
        try:
            self.go()
        except BaseException as fault:
            self.fault = fault

    def go(self):
        contract.load()
        keys = self.house.folder / ".secrets"
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.curve_publickey, self.socket.curve_secretkey = client.key_pair(keys, "rehearsal")
        self.socket.curve_serverkey = client.registered(keys, "broker")
        self.socket.linger = 0
        self.socket.immediate = True
        self.socket.heartbeat_ivl = self.socket.heartbeat_timeout = PINGS_MS
        self.socket.handshake_ivl = PINGS_MS
        self.socket.reconnect_ivl_max = 1000
        self.socket.connect(f"tcp://127.0.0.1:{self.house.port}")
        began, look = time.monotonic(), 0.0
        while not self.stopping.is_set() or self.applications:
            now = time.monotonic()
            for _ in range(AT_ONCE):
                if (self.stopping.is_set() or self.begun >= (now - began) * self.rate
                        or self.applications >= self.most):
                    break
                self.begin()
            if self.waiting and now >= look:
                look = now + LOOK_S
                self.look()
            self.send_due(now)
            while self.socket.poll(5, zmq.POLLIN):
                self.receive()
        self.socket.close(0)

    def ask(self, type, body, who, then, again=True):
        request = Request(type, body, who, then, again)
        request.data = contract.encode(type, body)
        self.under_way[request.id] = request
        self.later(request, 0)

    def later(self, request, seconds):
        request.due = time.monotonic() + seconds
        heapq.heappush(self.timers, (request.due, next(self.order), request))

    def send_due(self, now):
        while self.timers and self.timers[0][0] <= now:
            due, _, request = heapq.heappop(self.timers)
            if self.under_way.get(request.id) is not request or request.due != due:
                continue  # answered since, or put off
            if request.tries and not request.again:
                del self.under_way[request.id]
                continue
            packet = contract.encode("bus.v1.Packet", {"request": {
                "service": request.service, "id": request.id, "type": request.type, "actor": client.actor(request.who),
                "timeout_ms": 10_000}})
            if self.socket.poll(0, zmq.POLLOUT):
                self.socket.send_multipart([packet, request.data])
                request.tries += 1
            self.later(request, min(SILENCE_S * 2 ** max(request.tries - 1, 0), LONGEST_SILENCE_S))

    def receive(self):
        frames = self.socket.recv_multipart()
        packet = contract.decode("bus.v1.Packet", frames[0])
        if packet.WhichOneof("kind") != "reply":
            return
        reply = packet.reply
        request = self.under_way.get(reply.id)
        if request is None:
            return  # the second answer to what was asked twice
        status = reply.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[reply.status].name
        self.answers[request.type.split(".")[-1], status] += 1
        if status == "RESOURCE_EXHAUSTED":
            self.retry_after_ms.append(reply.retry_after_ms)
        if status in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"):
            self.later(request, max(reply.retry_after_ms, 50) / 1000)
            return
        del self.under_way[reply.id]
        self.longest_s = max(self.longest_s, time.monotonic() - request.began)
        if client.is_command(request.type):
            self.acks.append(client.Ack(request.id, request.service, request.type, status))
        if status != "OK":
            self.wrong.append(f"{request.type} {request.id} was answered {status}: {reply.reason}")
            self.applications -= client.is_command(request.type)
            return
        request.then(contract.decode(reply.type, frames[1]) if reply.type else None)

    # The way of an application.

    def begin(self):
        organisation = self.organisations[self.begun % len(self.organisations)]
        id, editor = str(uuid.uuid4()), f"load.editor:EDITOR:{organisation}"
        self.applications += 1
        self.begun += 1
        content = content_of(organisation)

        def frozen(_):
            self.waiting[id] = organisation

        def saved(_):
            self.ask("intake.v1.RequestApproval", {"application_id": id, "expected_version": 1}, editor, frozen)

        def started(_):
            if self.drafts:
                self.applications -= 1
                return
            self.ask("intake.v1.SaveDraft", {"application_id": id, "expected_version": 0, "content": content}, editor,
                     saved)

        self.ask("intake.v1.StartDraft", {"application_id": id, "call_id": self.call}, editor, started)

    def look(self):
        """As a director does: what waits, and sign it."""
        for organisation in set(self.waiting.values()):
            self.ask("approval.v1.ListSignOffs", {"organisation_number": organisation}, play.OFFICER, self.sign,
                     again=False)

    def sign(self, waiting):
        for one in waiting.open:
            if self.waiting.pop(one.application_id, None):
                self.approve(one)

    def approve(self, one):
        def signed(_, id=one.application_id):
            self.delivered.append(id)
            self.applications -= 1

        self.ask("approval.v1.Approve", {"application_id": one.application_id, "kind": "APPLICATION",
                                         "version": one.version, "content_sha256": one.content_sha256},
                 f"{SIGNER}:APPROVER:{one.organisation_number}", signed)


def content_of(organisation):
    """The same project, each time by another municipality."""
    budget = [{**year, "own": [{**own, "organisation_number": organisation} for own in year["own"]]}
              for year in CONTENT["budget"]]
    return {**CONTENT, "budget": budget}


def prepare(stage, call):
    """A call for the load, open for a month from now on, and someone in each municipality who may sign. Returns the
    municipalities."""
    moment = int(stage.speaker.ask("bus.v1.GetPeers", {}, play.OPERATOR).body["calendar_at_us"])
    month_us = 30 * 24 * 3600 * 1_000_000
    deadline = (moment + month_us) // 1_000_000 * 1_000_000
    definition = {**play.definition(play.MAIN), "call_id": call, "opens_at_us": moment - month_us,
                  "deadline_at_us": deadline}
    numbers = [number for number, row in stage.organisations.items() if row["form"] == "KOMM"]
    stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=list(stage.organisations.values()))
    stage.does(play.HEAD, "intake.v1.PublishCall", definition=definition)
    stage.quiet()
    for number in numbers:
        stage.does(play.OFFICER, "approval.v1.RegisterSignatory", signatory_id=play.made_id(f"{SIGNER} {number} {call}"),
                   person=SIGNER, organisation_number=number, capacity="DIRECTOR", from_at_us=1)
    stage.quiet()
    return numbers
