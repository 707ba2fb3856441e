"""A log on its own: database, broker, event log and witness, and a client that may append as a service."""

import hashlib
import os
import uuid

import client
import contract
import stack


class LogStack(stack.Stack):
    """Only what keeps the log."""

    def everyone(self):
        return ["broker", "witness", "eventlog"]


def make(folder):
    """A house of the build that is tested, with the sanitizers' options."""
    made = LogHouse(folder, os.environ.get("BUILD", stack.ROOT / "build"))
    made.stack.extra_env = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
    return made


class LogHouse:
    def __init__(self, folder, build):
        self.stack = LogStack(folder, build)
        self.version = 0
        self.clients = {}

    def up(self):
        self.stack.up(rehearsal=True, progress=lambda line: None)
        return self

    def down(self):
        for one in self.clients.values():
            one.close()
        if self.stack.settings() is not None:
            self.stack.down(progress=lambda line: None)
            self.stack.remove()

    def ask_as(self, key, type, body, who, service=None):
        if key not in self.clients:
            self.clients[key] = client.Client(f"tcp://127.0.0.1:{self.stack.settings()['broker']}",
                                              self.stack.folder / "keys", name=key, patience_s=30)
        return self.clients[key].ask(type, body, who, service=service, id=str(uuid.uuid4()))

    def ask(self, type, body=None, service=None):
        answer = self.ask_as("rehearsal", type, body or {}, "operator:OPERATOR", service)
        assert answer.status == "OK", answer
        return answer.body

    def append(self, count):
        """Events of the service intake, each the next of one stream."""
        events = []
        for _ in range(count):
            self.version += 1
            id = str(uuid.UUID(bytes=hashlib.sha256(str(self.version).encode()).digest()[:16]))
            events.append(contract.encode("eventlog.v1.Event", {
                "id": id, "source": "intake", "type": "intake.v1.CallClosed", "stream": "intake/call/a",
                "version": str(self.version), "subject": "a", "time_us": "1", "rehearsal": True}))
        import base64
        body = {"events": [base64.b64encode(event).decode() for event in events]}
        answer = self.ask_as("intake", "eventlog.v1.Append", body, "intake:SERVICE")
        assert answer.status == "OK" and all(one["result"] == "STORED" for one in answer.body["results"]), answer

    def rows(self, query):
        return self.stack.cluster.sql(query).strip().splitlines()

    def log(self):
        """The whole log as the database holds it."""
        return self.rows("SELECT position, stream, version, type, encode(bytes, 'hex'), encode(leaf, 'hex'), "
                         "appended_at_us, epoch FROM eventlog.log ORDER BY position;")

    def superuser(self, text):
        self.rows(f"SET session_replication_role = replica; {text}")

    def words_of(self, name, word):
        """The reasons in a process's log lines of a level."""
        import json
        lines = (self.stack.folder / "log" / f"{name}.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line.get("reason", line["what"]) for line in found if line["level"] == word]
