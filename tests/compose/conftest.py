"""What the tests of containers share: the shipped docker-compose.yml, up and running from a stranger's clone.

One house serves most of them; each test leaves it whole. When containers can not be tested on this machine, every test
is skipped with the reason.
"""

import time

import pytest

import containers
import play
from lived import KEEP, TELLER, Lived, say


def pytest_configure(config):
    TELLER.capture = config.pluginmanager.getplugin("capturemanager")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    began = time.monotonic()
    play.PATIENCE_S = 60 * containers.slack()
    say(item.name)
    outcome = yield
    say(f"  {time.monotonic() - began:.0f} s" + (f": {outcome.excinfo[1]}" if outcome.excinfo else ""))


@pytest.fixture(scope="session")
def docker(request):
    """A Docker that answers, swept of what a crashed run left."""
    why = containers.missing()
    if why:
        pytest.skip(why)
    containers.FOLDER.mkdir(parents=True, exist_ok=True)
    daemon = containers.Daemon()
    try:
        daemon.start()
    except containers.Missing as fault:
        pytest.skip(str(fault))
    try:
        if not KEEP:
            containers.sweep()
        yield daemon
        if not KEEP:
            containers.sweep()
    finally:
        daemon.stop()


@pytest.fixture(scope="session")
def house(docker):
    """The house that most tests share: Debian 12, a rehearsal, everything up."""
    began = time.monotonic()
    containers.ensure_base("debian:bookworm-slim", say)
    made = Lived("main")
    if KEEP and made.keep():
        yield made.open()
        return
    try:
        say("cloning, deploy/init --rehearsal")
        made.make("--rehearsal")
        say("building the images")
        made.build()
        say(f"up ({time.monotonic() - began:.0f} s so far)")
        made.up()
        made.wait_ready()
        made.open()
        say(f"everything is ready after {time.monotonic() - began:.0f} s")
        yield made
    finally:
        if not KEEP:
            made.down()


ORDER = ["test_images", "test_call", "test_disturbed", "test_mistakes", "test_keeping", "test_bases",
         "test_swarm"]


def pytest_collection_modifyitems(items):
    """As a life goes: what it is, what it does, what befalls it; then what needs houses of its own."""
    items.sort(key=lambda item: ORDER.index(item.module.__name__))
