"""The broker through its socket, spoken to by a stranger who has read only proto/bus_v1.proto.

Needs a build (BUILD names its folder, else build/); everything else is made here: keys, registry, broker, peers.
"""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import contract  # noqa: E402
from client import key_pair, registered  # noqa: E402

TOOLS = BUILD / "services" / "broker"
FRAME_BYTES = 256 * 1024
QUEUE_REQUESTS = 2000
SILENCE_S = 5
OFFICER = {"subject": "p-1", "role": "CASE_OFFICER"}
OPERATOR = {"subject": "p-2", "role": "OPERATOR"}
JUNE_14TH_US = 1718402400000000


def packet(kind, **fields):
    return contract.encode("bus.v1.Packet", {kind: fields})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """A DEALER with CURVE and nothing else of ours."""

    def __init__(self, broker, name, pair=None, routing_id=None, curve=True, immediate=True):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        if curve:
            self.socket.curve_publickey, self.socket.curve_secretkey = pair or key_pair(broker.keys, name)
            self.socket.curve_serverkey = registered(broker.keys, "broker")
        if routing_id:
            self.socket.setsockopt(zmq.IDENTITY, routing_id)
        self.socket.linger = 0
        self.socket.immediate = immediate  # then ZeroMQ forgets what was not read when a connection ends
        self.socket.sndhwm = self.socket.rcvhwm = 10000
        self.socket.connect(broker.endpoint)

    def connected(self, wait_s=3.0):
        return bool(self.socket.poll(int(wait_s * 1000), zmq.POLLOUT))

    def send(self, first, body=b""):
        assert self.connected()
        self.socket.send_multipart([first, body])

    def receive(self, wait_s=3.0):
        """The next packet that is no heartbeat, with its body; (None, None) when none comes."""
        end = time.monotonic() + wait_s
        while self.socket.poll(max(0, int((end - time.monotonic()) * 1000)), zmq.POLLIN):
            frames = self.socket.recv_multipart()
            assert len(frames) == 2
            got = contract.decode("bus.v1.Packet", frames[0])
            if got.WhichOneof("kind") != "heartbeat":
                return got, frames[1]
        return None, None

    def heartbeat(self, wait_s=3.0):
        end = time.monotonic() + wait_s
        while self.socket.poll(max(0, int((end - time.monotonic()) * 1000)), zmq.POLLIN):
            got = contract.decode("bus.v1.Packet", self.socket.recv_multipart()[0])
            if got.WhichOneof("kind") == "heartbeat":
                return got.heartbeat
        return None

    def silent(self, for_s=0.4):
        return self.receive(for_s) == (None, None)

    def ready(self, service="intake", credit=10):
        self.send(packet("ready", service=service, credit=credit))
        assert self.heartbeat() is not None  # the broker's welcome

    def request(self, body=b"", service="intake", type="intake.v1.SaveDraft", actor=OFFICER, **more):
        """Send a request and return its id."""
        fields = {"service": service, "id": str(uuid.uuid4()), "type": type, "actor": actor} | more
        self.send(packet("request", **fields), body)
        return fields["id"]

    def taken(self, wait_s=3.0):
        got, body = self.receive(wait_s)
        assert got is not None and got.WhichOneof("kind") == "request", got
        return got.request, body

    def answer(self, request, body=b"", **more):
        self.send(packet("reply", **{"id": request.id, "ticket": request.ticket, "status": "OK"} | more), body)

    def replied(self, wait_s=3.0):
        got, body = self.receive(wait_s)
        assert got is not None and got.WhichOneof("kind") == "reply", got
        return got.reply, body

    def asked(self, wait_s=3.0, **words):
        """Ask and take the answer's status and reason."""
        id = self.request(**words)
        reply, body = self.replied(wait_s)
        assert reply.id == id
        status = reply.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[reply.status].name
        return status, reply.reason, body

    def close(self):
        self.socket.close(0)


class Broker:
    def __init__(self, folder, rehearsal=True):
        self.keys = folder / "keys"
        self.calendar = folder / "calendar"
        self.rehearsal = rehearsal
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.log = folder / "log"
        self.peers = []
        self.process = None
        make_keys(self.keys, rehearsal)
        self.start()

    def environment(self):
        own = {"BROKER_BIND": self.endpoint, "BUS_KEYS": str(self.keys)}
        return os.environ | own | ({"REHEARSAL": str(self.calendar)} if self.rehearsal else {})

    def start(self):
        with self.log.open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen([TOOLS / "tildel-broker"], env=self.environment(), stderr=log)
        end = time.monotonic() + 10
        while b"the broker listens" not in self.log.read_bytes()[before:]:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)

    def peer(self, name="rehearsal", **more):
        self.peers.append(Peer(self, name, **more))
        return self.peers[-1]

    def worker(self, name="intake", **more):
        worker = self.peer(name)
        worker.ready(**more)
        return worker

    def figures(self):
        asker = self.peer()
        status, reason, body = asker.asked(service="broker", type="bus.v1.GetPeers", actor=OPERATOR)
        assert status == "OK", reason
        return contract.decode("bus.v1.Peers", body)

    def comes_to(self, seen):
        """What one peer has sent is there, before another peer goes on: they have connections of their own."""
        end = time.monotonic() + 5
        while not seen(self.figures()):
            assert time.monotonic() < end
            time.sleep(0.01)

    def serves(self):
        """The proof that others are unharmed: a fresh worker and a fresh client do business."""
        worker, client = self.worker("approval", service="approval"), self.peer()
        client.request(b"hello", service="approval", type="approval.v1.Approve")
        request, body = worker.taken()
        worker.answer(request, body)
        worker.send(packet("disconnect"))
        return client.replied()[1] == b"hello"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        for peer in self.peers:
            peer.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=5)


def make_keys(folder, rehearsal):
    words = [TOOLS / "tildel-keys", folder] + (["--rehearsal"] if rehearsal else [])
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def broker(tmp_path):
    """A broker of a rehearsal. However it was treated, it must stop well."""
    broker = Broker(tmp_path)
    yield broker
    assert broker.stop() == 0, broker.log.read_text()


@pytest.fixture
def real_broker(tmp_path):
    broker = Broker(tmp_path, rehearsal=False)
    yield broker
    assert broker.stop() == 0, broker.log.read_text()


# Routing.


def test_a_client_written_from_the_contract_alone_is_answered(broker):
    worker, client = broker.worker(), broker.peer()

    id = client.request(b"a draft", timeout_ms=5000)
    request, body = worker.taken()
    worker.answer(request, b"an answer", type="intake.v1.Draft")
    reply, answer = client.replied()

    assert (request.id, request.type, request.actor.subject, body) == (id, "intake.v1.SaveDraft", "p-1", b"a draft")
    assert (request.sender, request.rehearsal, request.ticket > 0) == ("rehearsal", True, True)
    assert abs(request.received_at_us / 1e6 - time.time()) < 5
    assert (reply.id, reply.status, reply.type, reply.ticket, answer) == (id, 1, "intake.v1.Draft", 0, b"an answer")


def test_the_least_recently_used_worker_is_next_and_none_gets_more_than_its_credit(broker):
    one, two = broker.worker(credit=1), broker.worker(credit=2)
    client = broker.peer()

    for number in range(4):
        client.request(b"%d" % number)

    first, body = one.taken()
    assert body == b"0"
    assert [two.taken()[1], two.taken()[1]] == [b"1", b"2"]
    assert one.silent() and two.silent(0.1)
    one.answer(first)
    assert one.taken()[1] == b"3"


def test_a_body_of_just_the_limit_goes_through(broker):
    worker, client = broker.worker(), broker.peer()
    body = random.randbytes(FRAME_BYTES)

    client.request(body)

    request, got = worker.taken()
    worker.answer(request, got)
    assert got == body and client.replied()[1] == body


def test_both_ways_a_heartbeat_comes_within_two_seconds(broker):
    worker, client = broker.worker(), broker.peer()

    client.send(packet("heartbeat"))

    assert client.heartbeat(2) is not None
    assert worker.heartbeat(2) is not None


def test_a_request_without_worker_is_told_unavailable_at_its_time(broker):
    began = time.monotonic()

    status, reason, _ = broker.peer().asked(timeout_ms=500)

    assert (status, reason) == ("UNAVAILABLE", "no worker was free in time; nothing was begun")
    assert 0.45 < time.monotonic() - began < 1.5


def test_a_queue_that_is_full_is_told_at_once(broker):
    client = broker.peer()
    for _ in range(QUEUE_REQUESTS):
        client.request(timeout_ms=60000)

    client.request()

    reply, _ = client.replied(10)
    assert reply.status == 4 and reply.retry_after_ms >= 200
    assert broker.figures().queues[0].waiting == QUEUE_REQUESTS
    assert broker.serves()


# Workers that leave.


def test_a_worker_that_falls_silent_loses_its_request_to_the_next(broker):
    dead, client = broker.worker(), broker.peer()
    client.request(b"precious", timeout_ms=30000)
    first, _ = dead.taken()
    dead.close()
    next_one = broker.peer("intake")
    end = time.monotonic() + SILENCE_S + 4
    next_one.ready()

    got = None
    while got is None and time.monotonic() < end:
        next_one.send(packet("heartbeat"))
        got, body = next_one.receive(0.5)

    assert got.request.id == first.id and body == b"precious"
    next_one.answer(got.request)
    assert client.replied()[0].status == 1


def test_a_worker_that_says_goodbye_loses_its_request_at_once(broker):
    leaving, staying, client = broker.worker(), broker.worker(), broker.peer()
    client.request(b"precious")
    request, _ = leaving.taken()

    leaving.send(packet("disconnect"))

    again, body = staying.taken(1)
    assert (again.id, again.received_at_us, body) == (request.id, request.received_at_us, b"precious")


def test_a_draining_worker_gets_nothing_new(broker):
    worker, client = broker.worker(), broker.peer()
    client.request(b"old")
    request, _ = worker.taken()

    worker.send(packet("disconnect", draining=True))
    broker.comes_to(lambda peers: [one.draining for one in peers.workers] == [True])
    client.request(b"new", timeout_ms=300)

    assert worker.silent()
    worker.answer(request)
    assert {client.replied()[0].status, client.replied()[0].status} == {1, 3}


def test_after_a_broker_that_died_workers_are_told_to_say_ready_again(broker):
    worker, client = broker.worker(), broker.peer()

    broker.kill()
    broker.start()
    worker.send(packet("heartbeat"))

    got, _ = worker.receive(5)
    assert got.WhichOneof("kind") == "disconnect" and got.disconnect.reason == ""
    worker.ready()
    client.request(b"again")
    assert worker.taken()[1] == b"again"


# Peers that lie.


def test_an_unregistered_key_gets_no_connection(broker):
    stranger = broker.peer(pair=zmq.curve_keypair())

    assert not stranger.connected(1)
    assert broker.serves()


def test_a_connection_without_curve_gets_nothing(broker):
    naked = broker.peer(curve=False)

    assert not naked.connected(1)
    assert broker.serves()


def test_a_key_cannot_serve_anothers_name(broker):
    thief, client = broker.peer("intake"), broker.peer()

    thief.send(packet("ready", service="payment", credit=10))
    client.request(service="payment", type="payment.v1.Authorise", timeout_ms=300)

    got, _ = thief.receive()
    assert got.disconnect.reason == "key 'intake' may not serve 'payment'"
    assert thief.silent() and client.replied()[0].status == 3
    assert "may not serve" in broker.log.read_text()


def test_nobody_answers_for_another_worker_and_nobody_twice(broker):
    holder, liar, client = broker.worker(), broker.worker(), broker.peer()
    client.request()
    request, _ = holder.taken()

    liar.answer(request, b"forged")
    holder.answer(request, b"true")
    holder.answer(request, b"twice")

    assert client.replied()[1] == b"true"
    assert client.silent()
    assert broker.figures().dropped == 2


def test_a_key_taken_from_the_registry_is_refused_from_its_next_message(broker):
    worker, client = broker.worker(), broker.peer()
    client.request(timeout_ms=20000)
    request, _ = worker.taken()
    registry = broker.keys / "registry.zpl"
    before = registry.read_text()

    registry.write_text(before.replace(registered(broker.keys, "intake").decode(), zmq.curve_keypair()[0].decode()))
    worker.answer(request, b"too late")

    assert client.silent(1)
    registry.write_text(before)
    worker.ready()
    assert worker.taken()[0].id == request.id


@pytest.mark.parametrize("words, told", [
    ({"actor": {"subject": "p-1", "role": "CLOCK"}}, "actor.role CLOCK is a service's own timer"),
    ({"actor": {"subject": "p-1"}}, "actor.role is missing"),
    ({"actor": {"subject": "rehearsal2", "role": "SERVICE"}}, "may not speak for rehearsal2 as SERVICE"),
    ({"actor": {"subject": "ola@nord mann", "role": "READER"}}, "actor.subject is not 1 to 64"),
    ({"actor": {"subject": "p-1", "role": "EDITOR"}}, "actor.organisation is missing"),
    ({"actor": {"subject": "p-1", "role": "EDITOR", "organisation": "958935421"}}, "not an organisation number"),
    ({"actor": {}}, "actor.subject is not 1 to 64"),
    ({"service": "nobody"}, "no key in the registry serves 'nobody'"),
    ({"service": "Intake!"}, "service is not 1 to 32"),
    ({"type": "Save Draft"}, "type is not the full name"),
    ({"timeout_ms": 120001}, "timeout_ms is over 120000"),
    ({"correlation": "x"}, "correlation is neither empty nor a UUID"),
])
def test_what_a_request_may_not_say_is_refused_with_a_sentence(broker, words, told):
    status, reason, _ = broker.peer().asked(**words)

    assert status == "REFUSED" and told in reason


def test_a_role_from_a_later_contract_is_dropped_not_guessed(broker):
    client = broker.peer()
    request = contract.message("bus.v1.Packet")()
    request.request.service, request.request.id = "intake", str(uuid.uuid4())
    request.request.actor.subject, request.request.actor.role = "p-1", 99

    client.send(request.SerializeToString())

    assert client.silent()
    assert broker.figures().dropped == 1


def test_a_key_asks_and_speaks_only_as_the_registry_says(real_broker):
    console, intake = real_broker.peer("console"), real_broker.peer("intake")

    assert "may not speak for p-1 as BUDGET_HOLDER" in console.asked(
        actor={"subject": "p-1", "role": "BUDGET_HOLDER"})[1]
    assert "key 'intake' may not ask 'payment'" in intake.asked(
        service="payment", actor={"subject": "intake", "role": "SERVICE"})[1]
    assert "may not speak for payment as SERVICE" in intake.asked(
        service="eventlog", actor={"subject": "payment", "role": "SERVICE"})[1]


# Hostile bytes.


def test_frames_that_are_no_packet_are_dropped_counted_and_never_answered(broker):
    client = broker.peer()
    right = packet("heartbeat")
    wrong = [[b""], [right], [right, b"", b""], [b"\xff" * 40, b""], [random.randbytes(300), b""], [b"\x7a\x01x", b""],
             [right + right, b""], [b"", b""]]
    assert client.connected()

    for frames in wrong:
        client.socket.send_multipart(frames)

    assert client.silent()
    assert broker.figures().dropped == len(wrong)
    assert broker.serves()


def test_a_peer_that_chooses_its_routing_id_is_not_heard(broker):
    squatter = broker.peer(routing_id=b"intake")

    squatter.send(packet("heartbeat"))

    assert squatter.heartbeat(0.5) is None
    assert broker.serves()


def test_an_oversize_frame_cuts_only_its_sender(broker):
    client = broker.peer()
    assert client.connected()

    client.socket.send_multipart([packet("heartbeat"), bytes(FRAME_BYTES * 4)])

    assert client.silent()
    assert broker.serves()


def test_raw_bytes_on_the_port_harm_nobody(broker):
    host, port = broker.endpoint[6:].split(":")
    openings = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE", random.randbytes(5000),
                b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48), b""]
    held = []

    for number in range(200):
        held.append(socket.create_connection((host, int(port)), timeout=5))
        held[-1].sendall(openings[number % len(openings)])

    assert broker.serves()
    for connection in held:
        connection.close()
    assert broker.serves()


# The calendar.


def test_the_calendar_of_a_rehearsal_moves_for_all_and_survives_the_broker(broker):
    worker, operator = broker.worker(), broker.peer()
    command = contract.encode("bus.v1.MoveCalendar", {"to_us": JUNE_14TH_US, "stand_still": True})

    began = time.monotonic()
    status, reason, _ = operator.asked(service="broker", type="bus.v1.MoveCalendar", actor=OPERATOR, body=command)
    told = worker.heartbeat()
    while told.calendar_at_us != JUNE_14TH_US and time.monotonic() < began + 0.5:
        told = worker.heartbeat()

    assert (status, told.calendar_at_us, told.stands_still, told.rehearsal) == ("OK", JUNE_14TH_US, True, True)
    broker.kill()
    broker.start()
    assert broker.figures().calendar_at_us == JUNE_14TH_US
    client = broker.peer()
    worker = broker.worker()
    client.request()
    assert worker.taken()[0].received_at_us == JUNE_14TH_US


def test_the_calendar_of_a_real_stack_does_not_move(real_broker):
    command = contract.encode("bus.v1.MoveCalendar", {"to_us": JUNE_14TH_US})

    status, reason, _ = real_broker.peer("console").asked(
        service="broker", type="bus.v1.MoveCalendar", actor=OPERATOR, body=command)

    assert status == "REFUSED" and "this stack is real" in reason
    worker = real_broker.peer("intake")
    worker.send(packet("ready", service="intake", credit=1))
    heartbeat = worker.heartbeat()
    assert not heartbeat.rehearsal and abs(heartbeat.calendar_at_us / 1e6 - time.time()) < 5


# The process.


def outcome(*words, **environment):
    done = subprocess.run([TOOLS / words[0], *words[1:]], env=os.environ | environment, capture_output=True, text=True,
                          timeout=20)
    return done.returncode, done.stdout + done.stderr


def test_the_broker_ends_with_a_sentence_when_it_cannot_be_safe(tmp_path):
    keys = tmp_path / "keys"
    make_keys(keys, rehearsal=True)
    bind = f"tcp://127.0.0.1:{free_port()}"

    assert outcome("tildel-broker", "--help")[0] == 0
    assert outcome("tildel-broker", "--what")[0] == 2
    assert "BROKER_BIND is not set" in outcome("tildel-broker", BROKER_BIND="")[1]
    code, said = outcome("tildel-broker", BROKER_BIND=bind, BUS_KEYS=str(keys))
    assert code == 1 and "speaks any is allowed only in a rehearsal" in said
    (keys / "broker.secret.zpl").chmod(0o640)
    code, said = outcome("tildel-broker", BROKER_BIND=bind, BUS_KEYS=str(keys), REHEARSAL=str(tmp_path / "calendar"))
    assert code == 1 and "open to group or others" in said
    (tmp_path / "calendar").write_text("calendar\n    offset_us = \"soon\"\n")
    code, said = outcome("tildel-broker", BROKER_BIND=bind, BUS_KEYS=str(keys), REHEARSAL=str(tmp_path / "calendar"))
    assert code == 1 and "calendar has neither" in said


def test_keys_are_made_once_for_their_owners_eyes_only(tmp_path):
    keys = tmp_path / "keys"

    make_keys(keys, rehearsal=False)
    before = {path.name: path.read_text() for path in keys.iterdir()}
    make_keys(keys, rehearsal=True)

    after = {path.name: path.read_text() for path in keys.iterdir()}
    assert set(after) - set(before) == {"rehearsal.secret.zpl"}
    assert all(after[name] == text for name, text in before.items() if name != "registry.zpl")
    assert after["registry.zpl"].startswith(before["registry.zpl"])
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.glob("*.secret.zpl"))
    assert keys.stat().st_mode & 0o777 == 0o700


def test_the_broker_stops_within_a_second_and_tells_who_waits(broker):
    client = broker.peer(immediate=False)
    client.request(timeout_ms=60000)
    broker.comes_to(lambda peers: [queue.waiting for queue in peers.queues] == [1])

    began = time.monotonic()
    broker.process.send_signal(signal.SIGTERM)
    assert broker.process.wait(timeout=5) == 0

    assert time.monotonic() - began < 1
    assert client.replied()[0].reason.startswith("the broker is stopping")


def test_an_idle_broker_is_small_and_sleeps(broker):
    if b"libasan" in (TOOLS / "tildel-broker").read_bytes():
        pytest.skip("a sanitizer's build is not small")
    workers = [broker.worker() for _ in range(3)]
    status = pathlib.Path(f"/proc/{broker.process.pid}/status").read_text()
    resident_kb = int(status.split("VmRSS:")[1].split()[0])

    before = cpu_ticks(broker.process.pid)
    time.sleep(2)

    assert resident_kb <= 12 * 1024
    assert cpu_ticks(broker.process.pid) - before <= 2  # of 200
    assert len(workers) == 3


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
