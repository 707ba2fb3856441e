"""What the tests of containers share: the shipped docker-compose.yml, up and running from a stranger's clone.

One house serves most of a lane; each test leaves it whole. When containers can not be tested on this machine, every test
is skipped with the reason.
"""

import time

import pytest

import containers
import play
from containers import KEEP
from lived import TELLER, Lived, say


def pytest_configure(config):
    TELLER.capture = config.pluginmanager.getplugin("capturemanager")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    began = time.monotonic()
    play.PATIENCE_S = 60 * containers.slack()
    say(item.name)
    outcome = yield
    say(f"  {time.monotonic() - began:.0f} s" + (f": {outcome.excinfo[1]}" if outcome.excinfo else ""))


def pytest_report_teststatus(report):
    """No dots among the lines told above."""
    if report.passed:
        return "passed" if report.when == "call" else "", "", ""
    return None


@pytest.fixture(scope="session")
def docker():
    """A Docker that answers, swept of what a crashed run left."""
    try:
        with containers.ready():
            yield
    except containers.Missing as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def house(docker):
    """The house that most tests of a lane share: Debian 12, a rehearsal, PostgreSQL's log archived, everything up."""
    made = Lived(containers.LANE or "main", settings={"ARCHIVE": "on", **containers.CALM})
    if KEEP and made.keep():
        yield made.open()
        return
    began = time.monotonic()
    try:
        say("a house: clone, deploy/init --rehearsal, up")
        made.make("--rehearsal", say=say)
        made.up()
        made.wait_ready()
        made.open()
        say(f"everything is ready after {time.monotonic() - began:.0f} s")
        yield made
    finally:
        if not KEEP:
            made.down()


ORDER = ["test_left", "test_images", "test_mistakes", "test_disturbed", "test_call", "test_keeping", "test_outside_postgres",
         "test_bases", "test_swarm"]


def pytest_collection_modifyitems(items):
    """As a life goes: what it is, what it does, what befalls it; then what needs houses of its own."""
    items.sort(key=lambda item: ORDER.index(item.module.__name__))
