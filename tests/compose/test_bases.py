"""The other base, Debian 13: images build there, too, and a house on it works. The same house has its database on small
disks, which fill."""

import os
import shutil
import time

import pytest

import containers
from lived import Lived, say

BASE = "debian:trixie-slim"
QUIET_S = 4


class Disk:
    """A small file system of its own, in a file."""

    def __init__(self, path, megabytes):
        self.image, self.place = path.with_suffix(".img"), path
        with open(self.image, "wb") as file:
            file.truncate(megabytes * 2**20)
        containers.run("mkfs.ext4", "-q", "-m", "0", self.image)
        self.place.mkdir()
        containers.run("mount", "-o", "loop", self.image, self.place)
        shutil.rmtree(self.place / "lost+found")
        os.chown(self.place, 10002, 10002)
        self.place.chmod(0o700)
        self.filler = self.place / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(2**16))
            except OSError:
                pass
        assert shutil.disk_usage(self.place).free < 2**17

    def free(self):
        self.filler.unlink()

    def close(self):
        containers.run("umount", self.place, check=False)


@pytest.fixture(scope="module")
def disks(docker):
    """The database's two volumes."""
    folder = containers.FOLDER / "house-disks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    made = {}
    try:
        made["POSTGRES_DATA"] = Disk(folder / "data", 250)
        made["POSTGRES_WAL"] = Disk(folder / "wal", 250)
    except (containers.Failed, FileNotFoundError) as fault:
        for disk in made.values():
            disk.close()
        pytest.skip(f"no file system can be mounted from a file here: {fault}")
    yield made
    for disk in made.values():
        disk.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def newer(docker, disks):
    made = Lived("newer", base=BASE, tag=f"{containers.MARK}-13",
                 settings={**containers.CALM, **{name: str(disk.place) for name, disk in disks.items()}})
    try:
        made.make("--rehearsal", say=say)
        made.up()
        made.wait_ready()
        yield made.open()
    finally:
        made.down()


def test_the_images_build_on_debian_13_and_a_house_of_them_works(newer):
    assert newer.execute("intake", "sed", "-n", "s/^VERSION_CODENAME=//p", "/etc/os-release")[1].strip() == "trixie"
    with newer.load() as running:
        running.progress(20).finish()
    newer.prove(running, compare=True)


def stuck(running, seconds=40):
    """Until nothing more is delivered for a while: what can not be stored is not acknowledged."""
    end, seen, since = time.monotonic() + seconds, -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        assert time.monotonic() < end, f"deliveries go on on a full disk; {running}"
        running.alive()
        if len(running.delivered) != seen:
            seen, since = len(running.delivered), time.monotonic()
        time.sleep(0.2)


def test_on_a_full_data_volume_nothing_is_acknowledged_that_is_lost_and_freeing_it_is_enough(newer, disks):
    with newer.load(rate=20) as running:
        running.progress(10)
        disks["POSTGRES_DATA"].fill()
        stuck(running)
        assert not running.wrong, running.wrong[:3]
        disks["POSTGRES_DATA"].free()
        began = time.monotonic()
        running.progress(20, seconds=60)
        say(f"  delivers again {time.monotonic() - began:.1f} s after space was freed")
        running.finish(90)
    newer.wait_ready()
    newer.prove(running)


def test_on_a_full_volume_of_the_write_ahead_log_postgresql_stops_and_comes_back_by_itself(newer, disks):
    with newer.load(rate=20) as running:
        running.progress(10)
        disks["POSTGRES_WAL"].fill()
        for _ in range(8):
            if newer.execute("postgres", "psql", "-q", "-h", "/run/postgresql", "-U", "postgres", "-c",
                             "SELECT pg_switch_wal()", check=False)[0] != 0:
                break
            time.sleep(0.5)
        stuck(running)
        assert not running.wrong, running.wrong[:3]
        disks["POSTGRES_WAL"].free()
        began = time.monotonic()
        running.progress(20, seconds=120)
        say(f"  delivers again {time.monotonic() - began:.1f} s after space was freed")
        running.finish(90)
    newer.wait_ready()
    newer.prove(running, compare=True)
