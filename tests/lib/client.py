"""An independent client, from proto/bus_v1.proto alone: a DEALER socket with CURVE, two frames a message.

It shares no code with the services or the console. What it was answered, it remembers, for the checker.
"""

import hashlib
import pathlib
import re
import time
import uuid

import zmq

import contract

RESEND_S = 2.0


class Answer:
    def __init__(self, status, reason, type, body):
        self.status, self.reason, self.type, self.body = status, reason, type, body

    def __eq__(self, other):
        return (self.status, self.reason, self.type, self.body) == (other.status, other.reason, other.type,
                                                                    other.body)

    def __repr__(self):
        return f"<{self.status} {self.reason}>"


class Ack:
    """A command that was answered for good. The checker looks for each in what the services have stored."""

    def __init__(self, id, service, type, status):
        self.id, self.service, self.type, self.status = id, service, type, status


def key_pair(folder, name):
    text = (pathlib.Path(folder) / f"{name}.secret.zpl").read_text()
    return tuple(re.search(rf'{half}-key\s*=\s*"(.{{40}})"', text).group(1).encode()
                 for half in ("public", "secret"))


def registered(folder, name):
    """The public key of a name in the registry."""
    text = (pathlib.Path(folder) / "registry.zpl").read_text()
    return re.search(rf'^{name}\s*\n(?:    .*\n)*?    public\s*=\s*"(.{{40}})"', text,
                     re.MULTILINE).group(1).encode()


def actor(text):
    subject, role, *organisation = text.split(":")
    return {"subject": subject, "role": role, "organisation": organisation[0] if organisation else ""}


def service_of(type):
    package = type.split(".")[0]
    return "broker" if package == "bus" else package


class Client:
    """ask() sends a command or query and waits for its answer, asking again under the same id till then."""

    def __init__(self, broker, keys, name="rehearsal", patience_s=60, pair=None, server_key=None):
        contract.load()
        self.context = zmq.Context.instance()
        self.broker = broker
        self.patience_s = patience_s
        self.pair = pair or key_pair(keys, name)
        self.server_key = server_key or registered(keys, "broker")
        self.twice = False       # send every request a second time and expect the same answer
        self.before = None       # called before each request: where a test of faults does its mischief
        self.acks = []
        self.names = {}          # how often the same was asked: ids are made from it
        self.socket = None
        self.connect()

    def connect(self):
        if self.socket is not None:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.curve_publickey, self.socket.curve_secretkey = self.pair
        self.socket.curve_serverkey = self.server_key
        self.socket.linger = 0
        self.socket.immediate = True
        self.socket.maxmsgsize = 256 * 1024
        self.socket.connect(self.broker)

    def close(self):
        self.socket.close(0)

    # The bus.

    def send(self, frames, wait_s=5.0):
        """False when there is nobody at the other end."""
        if not self.socket.poll(int(wait_s * 1000), zmq.POLLOUT):
            return False
        self.socket.send_multipart(frames)
        return True

    def receive(self, wait_s):
        if not self.socket.poll(max(0, int(wait_s * 1000)), zmq.POLLIN):
            return None, None
        frames = self.socket.recv_multipart()
        assert len(frames) == 2, f"a message of {len(frames)} frames"
        return contract.decode("bus.v1.Packet", frames[0]), frames[1]

    def packet(self, id, service, type, who, timeout_ms=10_000):
        return contract.encode("bus.v1.Packet", {"request": {"service": service, "id": id, "type": type,
                                                             "actor": actor(who), "timeout_ms": timeout_ms}})

    def reply(self, id, end):
        """The next reply to this id before the end, or None. Answers to earlier ids are of no interest."""
        while True:
            packet, body = self.receive(end - time.monotonic())
            if packet is None:
                return None
            if packet.WhichOneof("kind") == "reply" and packet.reply.id == id:
                return self.opened(packet.reply, body)

    def opened(self, reply, body):
        status = reply.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[reply.status].name
        shown = contract.as_dict(contract.decode(reply.type, body)) if reply.type else {}
        return Answer(status, reply.reason, reply.type, shown)

    # Asking.

    def ask(self, type, body, who, service=None, id=None):
        if self.before:
            self.before(type)
        service = service or service_of(type)
        id = id or self.made_id(type, body, who)
        data = contract.encode(type, body)
        answer = self.answered(id, service, type, data, who)
        if self.twice:
            again = self.answered(id, service, type, data, who)
            if is_command(type) and again != answer:
                raise AssertionError(f"{type} {id} was answered {answer} and then {again}")
        if is_command(type) and service not in ("broker",) and answer.status in ("OK", "REFUSED"):
            self.acks.append(Ack(id, service, type, answer.status))
        return answer

    def answered(self, id, service, type, data, who):
        """Ask, and ask again under the same id, until there is an answer that is not 'later'."""
        end = time.monotonic() + self.patience_s
        answer = None
        while time.monotonic() < end:
            if self.send([self.packet(id, service, type, who), data]):
                answer = self.reply(id, min(end, time.monotonic() + RESEND_S)) or answer
                if answer and answer.status not in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
                    return answer
                time.sleep(0.05 if answer else 0)
        raise TimeoutError(f"{type} was not answered within {self.patience_s} seconds: {answer}")

    def made_id(self, type, body, who):
        """The same words said for the n-th time in a story get the same id in every run of it."""
        said = hashlib.sha256(repr((type, body, who)).encode()).hexdigest()
        self.names[said] = self.names.get(said, 0) + 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{said} {self.names[said]}"))


QUERY = re.compile(r"\.(Get|List|Read|Recompute)[A-Z]|\.Read$")


def is_command(type):
    return not QUERY.search(type)
