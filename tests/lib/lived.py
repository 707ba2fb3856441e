"""A house of containers that is lived in: spoken to, loaded, proven; and how the tests tell how far they are."""

import time
import uuid

import checker
import client
import containers
import load
import play

class Lived(containers.House):
    """A house that is lived in: spoken to, loaded, and proven."""

    def __init__(self, *words, **named):
        super().__init__(*words, **named)
        self.client = self.stage = self.organisations = self.call = None
        self.acks = []          # of everything that was ever acknowledged here
        self.delivered = []     # and the applications among it
        self.replays = 0

    def open(self):
        """Somebody to speak with, who speaks for anybody."""
        self.client = client.Client(f"tcp://127.0.0.1:{self.port}", self.folder / ".secrets")
        self.stage = play.Stage(self.client, say=lambda line: None)
        self.acks = self.client.acks
        self.watch()
        return self

    def reopen(self):
        """The containers have new addresses: a new connection, the same memory."""
        self.client.connect()

    def load(self, rate=5.0, most=60, drafts=False):
        """Applications in a steady stream; see load.Load. The call is made when it is first asked for."""
        if self.organisations is None:
            self.call = f"load-{uuid.uuid4().hex[:8]}"
            self.organisations = load.prepare(self.stage, self.call)
        return load.Load(self, self.call, self.organisations, rate, most, drafts)

    def prove(self, *loads, compare=False):
        """Nothing acknowledged is lost, nothing done twice, no gap; in the end the tables are the log, replayed."""
        for one in loads:
            self.acks.extend(one.acks)
            self.delivered.extend(one.delivered)
        self.stage.quiet()
        self.keep_logs()
        faults = checker.check(self, self.acks, self.delivered)
        assert faults == [], "\n".join(faults)
        if compare:
            self.compare()

    def compare(self):
        self.replays += 1
        for words in (["verify"], ["replay", "--into", f"audit{self.replays}"],
                      ["compare", "--with", f"audit{self.replays}"]):
            self.tildel(*words)

    def down(self):
        if self.client:
            self.client.close()
        super().down()


class Teller:
    """Tells how far it is, past pytest's capture: this takes minutes, and people watch."""

    capture = None

    def say(self, line):
        with self.capture.global_and_fixture_disabled():
            print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


TELLER = Teller()
say = TELLER.say
