"""What keeps a house over the years: backups and their drill, upgrades under load, losses of everything but this and that,
new keys, a witness that moves to another machine; and the way back to the version before."""

import os
import pathlib
import shutil

import pytest

import containers
import play
from test_mistakes import sql

NEXT, BROKEN = "next", "broken"
TRACE = "upgraded"  # a table that only the next version makes
GOOD = f"CREATE TABLE {TRACE} (id integer PRIMARY KEY);"
BAD = "CREATE TABLE half_done (id integer); SELECT 1 / 0;"

# The same version with one more step of intake's schema: the sources of the build stage, and only what follows from it.
STEP = """
cd /src && n=$(sed -n 's/^-- schema: \\([0-9]*\\).*/\\1/p' services/intake/store.sql | tail -n 1)
awk -v n="$((n + 1))" -v text="$STEP_SQL" '
    /^-- name:/ && !done {gsub("@", n + 1, text); print "-- schema: " n " a step for the test"; print text; print ""; done = 1}
    {print}' \\
    services/intake/store.sql >/tmp/store.sql && cp /tmp/store.sql services/intake/store.sql
ninja -C /build services/tildel-intake >/tmp/words 2>&1 || { tail -n 20 /tmp/words; exit 1; }
strip -o /next/tildel-intake /build/services/tildel-intake
"""


def deploy(house, program, *words, check=True):
    """One of deploy/'s programs, as an operator runs it."""
    return containers.run(house.folder / "deploy" / program, *words, check=check, timeout=600, env=house.environment())


def test_a_backup_taken_under_load_stands_the_drill(house):
    path = house.folder / "backup-under-load.tar"
    with house.load() as running:
        running.progress(10)
        deploy(house, "backup", path)
        running.progress(5).finish()
    house.prove(running)
    code, told = deploy(house, "restore", "--check", path)
    assert code == 0 and "is good" in told, told


def test_what_a_killed_drill_left_is_told_by_the_next_and_goes_as_it_says(house):
    name = f"{house.project}-check-{2**22 + 1}"  # no process has this number
    folder = pathlib.Path(f"/var/tmp/{name}-aBcDeF")
    folder.mkdir()
    containers.docker("volume", "create", "--label", f"com.docker.compose.project={name}", f"{name}_data")
    code, told = deploy(house, "restore", "--check", house.folder / "backup-under-load.tar")
    assert code == 0, told
    said, = (line for line in told.splitlines() if "an earlier drill was killed" in line)
    containers.run("sh", "-c", said.partition("remove it: ")[2], cwd=house.folder, env=house.environment())
    assert not folder.exists() and containers.docker("volume", "ls", "-q", "--filter", f"name={name}") == ""


def test_a_damaged_backup_is_told_and_nothing_is_touched(house):
    path, damaged = house.folder / "backup-under-load.tar", house.folder / "backup-damaged.tar"
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place:place + 64] = bytes(64)
    damaged.write_bytes(data)
    code, told = deploy(house, "restore", "--check", damaged, check=False)
    assert code == 1 and "damaged" in told, told
    damaged.unlink()


# -------------------------------------------------------------------------------------------------------- upgrade


def next_version(house, name, step):
    """Images of another version: every service as it is, intake with one more step of its schema, and PostgreSQL's with a
    layer more. Returns the tag."""
    tag = f"{house.tag}-{name}"
    folder = house.folder / name
    folder.mkdir()
    stage = f"tildel/build:{tag}"
    containers.run("docker", "build", "-q", "--network", "host", "--target", "build", "--build-arg", f"BASE={house.base}",
                   "-f", house.folder / "deploy" / "Dockerfile", "-t", stage, house.folder, timeout=900)
    containers.docker("run", "--rm", "--network", "none", "-e", f"STEP_SQL={step}", "-v", f"{folder}:/next", stage, "sh", "-c",
                      STEP, timeout=600)
    containers.docker("rmi", "--no-prune", stage)
    for service in ["broker", "witness", "eventlog", *containers.SERVICES, "connector", "console"]:
        containers.docker("tag", f"tildel/{service}:{house.tag}", f"tildel/{service}:{tag}")
    for service, layer in {"intake": "tildel-intake /usr/local/bin/", "console": "tildel-intake /usr/local/bin/",
                           "postgres": "Dockerfile /tmp/"}.items():
        (folder / "Dockerfile").write_text(f"FROM tildel/{service}:{house.tag}\nCOPY {layer}\n")
        containers.run("docker", "build", "-q", "-t", f"tildel/{service}:{tag}", folder)
    return tag


def images(house):
    """What every service of the house runs."""
    return {service: house.inspect(service)["Config"]["Image"] for service in containers.EVERYONE if house.ids(service)}


def test_an_upgrade_under_load_loses_nothing_and_the_old_version_serves_while_the_schema_moves(house):
    """PostgreSQL's own image changes with it."""
    tag = next_version(house, NEXT, GOOD)
    with house.load() as running:
        running.progress(5)
        deploy(house, "upgrade", tag)
        running.progress(5).finish()
    assert images(house) == {service: f"tildel/{service}:{tag}" for service in containers.EVERYONE}
    assert sql(house, f"SELECT to_regclass('intake.{TRACE}') IS NOT NULL").strip() == "t"
    house.prove(running, compare=True)


def test_a_migration_that_fails_leaves_the_version_before_serving(house):
    tag = next_version(house, BROKEN, f"{GOOD}\\n\\n-- schema: @ the one after it\\n{BAD}")
    before = {service: house.ids(service) for service in containers.EVERYONE}
    with house.load() as running:
        running.progress(5)
        code, told = deploy(house, "upgrade", tag, check=False)
        assert code == 1 and "goes on serving" in told, told
        running.progress(5).finish()
    assert {service: house.ids(service) for service in containers.EVERYONE} == before
    assert sql(house, "SELECT to_regclass('intake.half_done') IS NULL").strip() == "t"
    house.prove(running)


# --------------------------------------------------------------------------------------------------------- losses


def texts_of(house, application):
    """How many personal texts of it anybody still has."""
    return int(sql(house, f"SELECT count(*) FROM intake.loop_private WHERE case_id = '{application}'"))


def archived(house):
    """Everything up to now is in the archive."""
    piece = sql(house, "SELECT pg_walfile_name(pg_switch_wal())").strip()
    house.stage.until(f"{piece} to be archived", (house.volume("archive") / piece).exists)


def lose_volumes(house, but):
    house.compose("down", "-t", "15")
    lost = [name for name in containers.marked("volume", "ls")
            if name.startswith(house.project + "_") and name != f"{house.project}_{but}"]
    containers.docker("volume", "rm", *lost)


def kept_files(house):
    """.env and every key and password, with whom they belong to."""
    return {path.name: (path.read_bytes(), path.stat().st_uid, path.stat().st_mode)
            for path in [house.folder / ".env", *(house.folder / ".secrets").iterdir()]}


GROUND = "asked for by the one it is about"


def test_a_clean_machine_with_backup_archive_and_ledger_stands_again_as_it_was_at_an_instant(house):
    """Lost: settings, keys, database, witness. After that instant somebody was erased, which is not undone."""
    path = house.folder / "backup-with-secrets.tar"
    house.stage.quiet()
    deploy(house, "backup", "--with-secrets", path)
    house.remembered = list(house.acks)
    with house.load() as before:
        before.progress(5).finish()
    house.stage.quiet()
    head, instant = house.stage.head(), sql(house, "SELECT clock_timestamp()").strip()
    with house.load() as after:
        after.progress(3).finish()
    house.erased = before.delivered[0]
    assert texts_of(house, house.erased) > 0
    house.tildel("erase", house.erased, "--ground", GROUND, "--as", play.HEAD)
    assert texts_of(house, house.erased) == 0
    archived(house)
    files = kept_files(house)
    lose_volumes(house, but="archive")
    (house.folder / ".env").unlink()
    for secret in (house.folder / ".secrets").iterdir():
        secret.unlink()

    deploy(house, "restore", "--settings", path)
    assert kept_files(house) == files
    code, told = deploy(house, "restore", "--settings", path, check=False)
    assert code == 1 and "nothing is overwritten" in told, told
    deploy(house, "init")
    deploy(house, "restore", "--until", instant, path)

    house.reopen()
    assert house.inspect("connector")["State"]["Running"] is False, "payments are not on hold"
    deploy(house, "restore", "--release-payments")
    house.wait_ready()
    house.prove(before)
    assert house.stage.head() == head + len(containers.SERVICES), "more than the erasure came after the instant"
    gone = ", ".join(f"'{one}'" for one in after.delivered)
    assert sql(house, f"SELECT count(*) FROM intake.application WHERE id IN ({gone})").strip() == "0"


def test_what_was_erased_after_that_instant_is_erased_again_by_the_restore(house):
    assert texts_of(house, house.erased) == 0
    assert GROUND in house.tildel("application", "show", house.erased, "--as", play.AUDITOR)[1]
    house.compare()


def test_the_same_backup_goes_on_to_the_end_of_the_archive(house):
    """Which is what was written since that restore; what had come after the instant stays undone."""
    with house.load() as running:
        running.progress(3).finish()
    house.stage.quiet()
    head = house.stage.head()
    archived(house)
    lose_volumes(house, but="archive")
    deploy(house, "restore", "--until", "latest", house.folder / "backup-with-secrets.tar")
    house.reopen()
    assert house.stage.head() == head
    deploy(house, "restore", "--release-payments")
    house.wait_ready()
    house.prove(running, compare=True)


# ------------------------------------------------------------------------------------------------------------ keys


def test_a_service_gets_a_new_key_under_load_and_its_old_one_ends_and_nothing_is_lost(house):
    secret = house.folder / ".secrets" / "approval.secret.zpl"
    before = secret.read_text()
    with house.load() as running:
        running.progress(5)
        deploy(house, "rotate", "approval", "--keep", "1")
        running.progress(5)     # with the old key, which still counts
        house.compose("restart", "approval")
        running.progress(5)
        deploy(house, "rotate", "--revoke", "approval-1")
        running.progress(5).finish()
    assert secret.read_text() != before and (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (10001, 0o600)
    assert deploy(house, "init", "--check")[0] == 0
    house.wait_ready(["approval"])
    house.prove(running)


# ------------------------------------------------------------------------------------- the witness on another machine


class Elsewhere:
    """Another machine: a clone, a project and a network of its own, from where only the published ports are reached."""

    def __init__(self, house):
        self.environment = house.environment()
        self.folder = containers.FOLDER / "house-elsewhere"
        self.project = f"{containers.MARK}-elsewhere"
        self.secrets = self.folder / ".secrets"
        containers.clone(self.folder)
        self.secrets.mkdir()

    def compose(self, *words, check=True):
        return containers.run("docker-compose", "--env-file", "witness.env", "-f", "deploy/witness.yml", *words,
                              cwd=self.folder, env=self.environment, check=check)[1]

    def container(self):
        return self.compose("ps", "-q", "witness").strip()

    def well(self):
        return containers.run("docker", "exec", self.container(), "tildel-witness", "--health", check=False)[0] == 0

    def down(self):
        self.compose("down", "-v", "-t", "5", check=False)


@pytest.fixture(scope="module")
def elsewhere(house):
    """The witness moves, step by step as deploy/README.md tells it."""
    made = Elsewhere(house)
    machine, feed, broker = containers.gateway(), containers.free_port(), containers.free_port()
    disk = house.folder / "witness-disk.tar"
    image = house.inspect("witness")["Config"]["Image"]
    house.compose("stop", "witness")
    containers.run("sh", "-c", f"docker run --rm --network none --entrypoint tar -v {house.project}_witness:/from:ro {image} "
                               f"-c -C /from . >{disk}")
    house.compose("rm", "-f", "witness")
    house.write(COMPOSE_FILE="docker-compose.yml:deploy/outside-witness.yml", FEED_PORT=f"{machine}:{feed}",
                WITNESS_PORT=f"{machine}:{broker}")
    assert "witness.key is still here" in deploy(house, "init", "--check")[1]
    for name in ["registry.zpl", "log.pub"]:
        shutil.copy2(house.folder / ".secrets" / name, made.secrets)
    for name in ["witness.secret.zpl", "witness.key"]:
        shutil.move(house.folder / ".secrets" / name, made.secrets)
    for path in made.secrets.iterdir():
        os.chown(path, 10001, 10001)
    assert deploy(house, "init", "--check")[1] == ""

    (made.folder / "witness.env").write_text(
        f"COMPOSE_PROJECT_NAME={made.project}\nVERSION={image.split(':')[1]}\n"
        f"BUS_BROKER=tcp://{machine}:{broker}\nBUS_FEED=tcp://{machine}:{feed}\n")
    try:
        made.compose("up", "--no-start")
        containers.run("sh", "-c", f"docker run --rm -i --network none --entrypoint tar "
                                   f"-v {made.project}_witness:/var/lib/tildel/witness {image} "
                                   f"-x -C /var/lib/tildel/witness --no-overwrite-dir <{disk}")
        made.compose("up", "-d")
        house.up()
        house.wait_ready([name for name in containers.EVERYONE if name != "witness"])
        yield made
    finally:
        made.down()


def test_a_witness_on_another_machine_is_well_and_alarmed_by_nothing(house, elsewhere):
    with house.load() as running:
        running.progress(10).finish()
    house.prove(running)
    head = house.stage.head()
    house.stage.until("the witness to hold the whole log", lambda: witnessed(house)["size"] == str(head))
    house.stage.until("the witness to be well", elsewhere.well)
    assert house.ids("witness", "-a") == []


def witnessed(house):
    return house.stage.speaker.ask("witness.v1.GetWitnessed", {}, play.OPERATOR).body


def test_after_the_loss_of_everything_but_an_old_backup_and_the_witness_nothing_delivered_is_lost(house, elsewhere):
    """The witness is elsewhere, which is why it is there still."""
    path = house.folder / "backup-with-secrets.tar"
    with house.load() as running:
        running.progress(10).finish()
    house.acks[:] = house.remembered  # what was answered after the backup is answered by nobody again: that memory is lost
    house.delivered.extend(running.delivered)
    house.stage.quiet()
    head, witness = house.stage.head(), elsewhere.container()
    house.stage.until("the witness to hold the whole log", lambda: witnessed(house)["size"] == str(head))
    lose_volumes(house, but=None)
    code, told = deploy(house, "restore", path, check=False)
    assert code == 1 and "are lost" in told and "deploy/restore --catch-up" in told, told
    deploy(house, "restore", "--catch-up")
    house.reopen()
    house.stage.quiet()
    assert house.stage.head() == head
    deploy(house, "restore", "--release-payments")
    house.wait_ready([name for name in containers.EVERYONE if name != "witness"])
    assert elsewhere.container() == witness and house.ids("witness", "-a") == []
    assert texts_of(house, house.erased) == 0
    house.prove(compare=True)


# -------------------------------------------------------------------------------------------------------------- back


def test_the_way_back_to_the_version_before_under_load_loses_nothing_and_leaves_a_witness_elsewhere_alone(house, elsewhere):
    witness = elsewhere.container()
    with house.load() as running:
        running.progress(5)
        deploy(house, "upgrade", "--back")
        running.progress(5).finish()
    assert images(house) == {service: f"tildel/{service}:{house.tag}" for service in containers.EVERYONE if service != "witness"}
    assert elsewhere.container() == witness and elsewhere.well()
    house.prove(running)
    house.tildel("replay", "--into", "back")
    code, told = house.tildel("compare", "--with", "back", check=False)
    assert code == 4 and TRACE in told, told  # what the newer version made is there still
