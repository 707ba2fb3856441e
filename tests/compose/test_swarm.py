"""The same images on Docker Swarm, a swarm of this one machine: up, spoken to, scaled, updated under load, gone."""

import json
import re
import time

import pytest

import containers
import play
from lived import Lived, say


@pytest.fixture(scope="module")
def swarm(docker):
    """A swarm of our own, left again afterwards; one that is somebody's is not touched. Leaving cuts other houses from their
    networks, so where there are other lanes it is left by the sweep after them."""
    mark = containers.swarm()
    if mark not in ("", containers.MARK):
        pytest.skip("this machine is in a swarm already, which a test must not touch")
    if not mark:
        containers.make_swarm()
    yield
    if not containers.LANE:
        containers.leave_swarm()


class Stack(Lived):
    """A house whose containers swarm keeps."""

    def swarm(self, *words, check=True, input=None):
        """(exit code, what it said)."""
        return containers.run(self.folder / "deploy" / "swarm", *words, check=check, timeout=900, input=input,
                              env=self.environment())

    def service(self, name):
        return f"{self.project}_{name}"

    def tasks(self, name):
        """The containers of a service's tasks, alive or not, that swarm still keeps."""
        return set(containers.docker("ps", "-aq", "--filter",
                                     f"label=com.docker.swarm.service.name={self.service(name)}").split())

    def described(self, name, what):
        """Of a service's description."""
        return containers.docker("service", "inspect", "-f", "{{" + what + "}}", self.service(name))

    def instances(self, name):
        """How many of a service the broker knows."""
        workers = self.stage.speaker.ask("bus.v1.GetPeers", {}, play.OPERATOR).body["workers"]
        return sum(one["service"] == name for one in workers)

    def scale(self, **replicas):
        wanted = [f"{self.service(name)}={count}" for name, count in replicas.items()]
        containers.docker("service", "scale", "--detach", *wanted)

    def until(self, what, look, seconds=60):
        end = time.monotonic() + seconds * containers.slack()
        while not look():
            assert time.monotonic() < end, f"in {seconds} s: {what}"
            time.sleep(0.5)

    def submitted(self, *loads):
        """Every delivery that was acknowledged is there, asked of the services: the database is out of our reach."""
        self.stage.quiet()
        for one in loads:
            for application in one.delivered:
                shown = self.stage.does(play.AUDITOR, "intake.v1.GetApplication", application_id=application)
                assert shown["state"] == "SUBMITTED", shown

    def down(self):
        if self.client:
            self.client.close()
            self.client = None
        self.swarm("down", "--volumes", check=False)
        super().down()


@pytest.fixture(scope="module")
def stack(swarm):
    made = Stack("swarm", settings={"HEALTH_INTERVAL": "10s"})
    try:
        made.make("--rehearsal", say=say)
        made.swarm("up")
        yield made.open()
    finally:
        made.down()


def test_a_stack_stands_and_its_console_takes_a_register_and_a_call(stack):
    for service in containers.EVERYONE:
        assert len(stack.tasks(service)) == (2 if service == "intake" else 1), service
    status = json.loads(stack.swarm("run", "status", "--json")[1])
    assert status["well"] and len(status["services"]["intake"]["instances"]) == 2
    stack.swarm("run", "--file", stack.folder / "deploy" / "demo-data" / "organisations.csv", "register", "import",
                "organisations.csv", "--as", play.OFFICER)
    stack.swarm("run", "calendar", "set", "2024-01-20T09:00:00+01:00")
    definition = (stack.folder / "deploy" / "calls" / f"{play.MAIN}.json").read_text()
    stack.swarm("run", "call", "publish", "-", "--as", play.HEAD, input=definition)
    assert play.MAIN in stack.swarm("run", "send", "intake.v1.GetCall", json.dumps({"call_id": play.MAIN}), "--as",
                                    play.OFFICER)[1]


def test_while_postgresql_is_away_every_task_lives_and_none_is_ready(stack):
    services = ["eventlog", *containers.SERVICES]
    before = {service: stack.tasks(service) for service in services}
    stack.scale(postgres=0)
    for service in services:
        health = ["docker", "exec", min(before[service]), f"tildel-{service}", "--health"]
        stack.until(f"{service} is not ready", lambda: containers.run(*health, check=False)[0] == 3)
        containers.run(*health, "live")
        assert stack.described(service, "index .Spec.TaskTemplate.ContainerSpec.Healthcheck.Test 1").endswith("live")
    stack.scale(postgres=1)
    stack.stage.quiet()
    assert {service: stack.tasks(service) for service in services} == before


def test_intake_is_scaled_and_everything_updated_under_load_and_nothing_is_lost(stack):
    """The first time with an intake that does not come up: it goes back by itself, and serves on; then mended."""
    tag = f"{stack.tag}-rolled"
    for service in ["broker", "witness", "eventlog", *containers.SERVICES, "connector", "console"]:
        containers.docker("tag", f"tildel/{service}:{stack.tag}", f"tildel/{service}:{tag}")
    containers.docker("tag", f"tildel/console:{stack.tag}", f"tildel/intake:{tag}")
    with stack.load(rate=5) as running:
        running.progress(5)
        stack.scale(intake=3)
        stack.until("the broker knows three of intake", lambda: stack.instances("intake") == 3)
        running.progress(5)

        stack.write(VERSION=tag)
        code, told = stack.swarm("up", check=False)
        assert code == 1 and re.search(r"intake did not become healthy and swarm went back \(\w+\): task: .+: .+; see", told), told
        running.progress(5)
        assert stack.described("intake", ".Spec.TaskTemplate.ContainerSpec.Image") == f"tildel/intake:{stack.tag}"

        containers.docker("tag", f"tildel/intake:{stack.tag}", f"tildel/intake:{tag}")
        stack.swarm("up")
        running.progress(5).finish(90)
    assert stack.instances("intake") == 3
    for service in ("broker", "eventlog", *containers.SERVICES, "connector"):
        assert stack.described(service, ".Spec.TaskTemplate.ContainerSpec.Image") == f"tildel/{service}:{tag}"
    stack.submitted(running)
    for words in (["verify"], ["replay", "--into", "audit"], ["compare", "--with", "audit"]):
        stack.swarm("run", *words)


def test_when_the_stack_is_down_nothing_of_it_is_left(stack):
    stack.client.close()
    stack.client = None
    stack.swarm("down", "--volumes")
    mine = ["--filter", f"label=com.docker.stack.namespace={stack.project}", "-q"]
    for kind in ("service", "network", "secret", "volume"):
        assert containers.docker(kind, "ls", *mine) == "", kind
    assert containers.docker("ps", "-a", *mine) == ""
