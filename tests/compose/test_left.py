"""What a killed run left, of this checkout or another: the next one finds it, and leaves what somebody tests with alone."""

import contextlib

import containers

GONE, GOES_ON, SOMEBODY = containers.FAMILY + "0dead0", containers.FAMILY + "a11fe0", "another-project"


def test_what_a_killed_run_left_is_found_and_nothing_else(docker):
    names = {(project, label): f"{project}-house_{label}" for project in (GONE, GOES_ON, SOMEBODY)
             for label in ("com.docker.compose.project", "com.docker.stack.namespace")}
    with contextlib.ExitStack() as made, containers.held(GOES_ON):
        for (project, label), name in names.items():
            containers.docker("volume", "create", "--label", f"{label}={project}-house", name)
            made.callback(containers.docker, "volume", "rm", "-f", name)
        found = containers.marked("volume", "ls")
    assert {name for name in found if name in names.values()} == {name for (project, _), name in names.items() if project == GONE}
