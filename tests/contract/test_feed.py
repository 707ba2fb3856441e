"""The event log's feed through its socket: who may listen, and what no bytes on it may do."""

import os
import socket

import pytest
import zmq

import client
import contract


class Listener:
    """A SUB socket with CURVE and nothing else of ours."""

    def __init__(self, house, name=None, pair=None, curve=True):
        keys = house.stack.folder / "keys"
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        if curve:
            self.socket.curve_publickey, self.socket.curve_secretkey = pair or client.key_pair(keys, name)
            self.socket.curve_serverkey = client.registered(keys, "eventlog")
        self.socket.linger = 0
        self.socket.subscribe(b"log")
        self.socket.connect(f"tcp://127.0.0.1:{house.stack.settings()['feed']}")

    def hears(self, wait_s):
        """The next Published, or None."""
        if not self.socket.poll(int(wait_s * 1000), zmq.POLLIN):
            return None
        topic, body = self.socket.recv_multipart()
        assert topic == b"log"
        return contract.decode("eventlog.v1.Published", body)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close(0)


def test_a_registered_follower_hears_the_head_every_second(undisturbed):
    head = undisturbed.stage.head()
    with Listener(undisturbed, "auditor") as listener:
        first, second = listener.hears(3), listener.hears(3)
    assert first.head.position == second.head.position == head
    assert len(first.head.root) == 32 and first.head.rehearsal


@pytest.mark.parametrize("who", ["a key nobody registered", "a key without the right", "no CURVE at all"])
def test_nobody_else_hears_anything(undisturbed, who):
    words = {"a key nobody registered": {"pair": zmq.curve_keypair()},
             "a key without the right": {"name": "finance"},
             "no CURVE at all": {"curve": False}}[who]
    with Listener(undisturbed, **words) as stranger, Listener(undisturbed, "auditor") as listener:
        assert listener.hears(3) is not None
        assert stranger.hears(2.5) is None


def test_raw_bytes_on_the_feed_harm_nobody(undisturbed):
    port = undisturbed.stack.settings()["feed"]
    pid = undisturbed.stack.process("eventlog").pid()
    with Listener(undisturbed, "auditor") as listener:
        for size in (1, 10, 64, 1000, 300_000):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                try:
                    raw.sendall(os.urandom(size))
                except OSError:
                    pass  # it has hung up, as it may
            assert listener.hears(3) is not None
    eventlog = undisturbed.stack.process("eventlog")
    assert eventlog.alive() and eventlog.pid() == pid


def test_a_follower_can_say_nothing_but_subscriptions_and_those_harm_nobody(undisturbed):
    with Listener(undisturbed, "auditor") as chatty, Listener(undisturbed, "auditor") as listener:
        for number in range(20):
            chatty.socket.subscribe(f"{number:04}".encode() * 250)
        for _ in range(3):
            assert chatty.hears(3) is not None and listener.hears(3) is not None
    assert undisturbed.stack.process("eventlog").alive()
