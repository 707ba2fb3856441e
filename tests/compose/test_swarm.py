"""The same images on Docker Swarm, a swarm of this one machine: up, scaled, updated under load, gone."""


import pytest

import containers
import play
from lived import Lived


@pytest.fixture(scope="module")
def swarm(docker):
    """A swarm of our own, left again afterwards; one that is somebody's is not touched."""
    state = containers.docker("info", "-f", "{{.Swarm.LocalNodeState}}")
    if state == "active" and not containers.SWARM.exists():
        pytest.skip("this machine is in a swarm already, which a test must not touch")
    if state != "active":
        containers.SWARM.touch()
        containers.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    yield
    containers.leave_swarm()


class Stack(Lived):
    """A house whose containers swarm keeps."""

    def swarm(self, *words, check=True):
        return containers.run(self.folder / "deploy" / "swarm", *words, check=check, timeout=600, env=self.environment())

    def service(self, name):
        return f"{self.project}_{name}"

    def replicas(self, name):
        told = containers.docker("service", "ls", "--filter", f"name={self.service(name)}", "--format", "{{.Replicas}}")
        return told.split()[0]

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
def stack(swarm, house):
    """On the images of the house that stands already."""
    made = Stack("swarm", tag=house.tag)
    try:
        made.make("--rehearsal")
        made.swarm("up")
        yield made.open()
    finally:
        made.down()


def test_a_stack_stands_and_takes_applications(stack):
    with stack.load(rate=5) as running:
        running.progress(15).finish()
    stack.submitted(running)
    assert stack.swarm("run", "verify")[0] == 0


def test_intake_is_scaled_and_everything_updated_under_load_and_nothing_is_lost(stack):
    tag = f"{stack.tag}-rolled"
    for service in ["broker", "eventlog", *containers.SERVICES, "connector", "console"]:
        containers.docker("tag", f"tildel/{service}:{stack.tag}", f"tildel/{service}:{tag}")
    with stack.load(rate=5) as running:
        running.progress(5)
        containers.docker("service", "scale", f"{stack.service('intake')}=4", timeout=180)
        running.progress(10)
        stack.write(VERSION=tag)
        stack.swarm("up")
        running.progress(10).finish(90)
    assert stack.replicas("intake") == "4/4"
    for service in ("broker", "eventlog", "intake", "reporting"):
        image = containers.docker("service", "inspect", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Image}}",
                                  stack.service(service))
        assert image.split("@")[0] == f"tildel/{service}:{tag}"
    stack.submitted(running)
    for words in (["verify"], ["replay", "--into", "audit"], ["compare", "--with", "audit"]):
        assert stack.swarm("run", *words)[0] == 0
