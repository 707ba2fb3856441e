"""The same journey, disturbed. Whatever happens on the way, the end is equal, and the checker finds nothing."""

import random
import socket
import threading
import time

import play


def differences(one, other, path=""):
    """Where two end states differ, as paths; a few are enough."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [found for key in sorted(set(one) | set(other))
                for found in differences(one.get(key), other.get(key), f"{path}/{key}")][:20]
    if isinstance(one, list) and isinstance(other, list):
        return [f"{path}: {what} {item}" for what, here,
                there in (("without", one, other), ("has", other, one))
                for item in here if item not in there]
    return [] if one == other else [f"{path}: {one} is now {other}"]


def plays_to_the_same_end(house, undisturbed):
    play.play(house.stage)
    house.client.before = None
    house.stage.quiet()
    found = differences(undisturbed.end_state(), house.end_state())
    assert not found, "\n".join(found)
    house.prove()


class Killer:
    """Kills one process after another with -9, every so many requests, and starts it again a moment later."""

    def __init__(self, house, names, every):
        self.house, self.names, self.every = house, names, every
        self.asked = self.kills = 0
        self.random = random.Random(20240614)

    def __call__(self, type):
        self.asked += 1
        if self.asked % self.every or type == "bus.v1.MoveCalendar":
            return
        name = self.names[self.kills % len(self.names)]
        self.kills += 1
        # Not between two requests, when all is at rest, but into the work that the next one makes.
        threading.Timer(self.random.uniform(0, 0.03), self.kill, [name]).start()

    def kill(self, name):
        stack = self.house.stack
        if name == "postgres":
            stack.cluster.process.kill()
            time.sleep(0.1)
            stack.cluster.start()
        else:
            stack.process(name).kill()
            time.sleep(0.1)
            stack.start(name)


def test_the_end_is_equal_when_each_process_in_turn_is_killed(house, undisturbed):
    house.up()
    names = [name for name in house.stack.everyone() if name != "bank"] + ["postgres"]
    killer = house.client.before = Killer(house, names, every=31)
    plays_to_the_same_end(house, undisturbed)
    assert killer.kills >= 2 * len(names), f"only {killer.kills} kills"


def test_the_end_is_equal_with_two_of_each_service_and_now_one_now_the_other_killed(house, undisturbed):
    """Two instances share the commands, one of them leads; whichever dies, the other goes on at once."""
    house.up()
    pairs = [name for service in play.SERVICES for name in (service, f"{service}-2")]
    for name in pairs[1::2]:
        house.stack.start(name)
    killer = house.client.before = Killer(house, pairs, every=47)
    plays_to_the_same_end(house, undisturbed)
    assert killer.kills >= len(pairs), f"only {killer.kills} kills"


def test_the_end_is_equal_when_every_message_is_sent_twice(house, undisturbed):
    house.up()
    house.client.twice = True
    plays_to_the_same_end(house, undisturbed)


class Leaky:
    """A TCP relay in front of the event log's feed that cuts every connection now and then."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open, self.cuts, self.going = [], 0, True
        for work in (self.accept, self.cut):
            threading.Thread(target=work, daemon=True).start()

    def accept(self):
        while self.going:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                continue
            self.open.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()

    def cut(self):
        while self.going:
            time.sleep(1.5)
            for pair in self.open:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.cuts += bool(self.open)
            self.open = []

    def close(self):
        self.going = False
        self.listener.close()


def test_the_end_is_equal_when_the_feed_is_cut(house, undisturbed):
    house.stack.make_folder(True)
    leaky = Leaky(house.stack.settings()["feed"])
    house.stack.feed = leaky.address
    try:
        house.up()
        plays_to_the_same_end(house, undisturbed)
        assert leaky.cuts >= 5, f"only {leaky.cuts} cuts"
    finally:
        leaky.close()
