"""What keeps a house over the years: backup and restore, and upgrades under load."""

import pathlib


import containers
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


def test_a_damaged_backup_is_told_and_nothing_is_touched(house):
    path, damaged = house.folder / "backup-under-load.tar", house.folder / "backup-damaged.tar"
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    data[place:place + 64] = bytes(64)
    damaged.write_bytes(data)
    code, told = deploy(house, "restore", "--check", damaged, check=False)
    assert code == 1 and "damaged" in told, told
    damaged.unlink()


def test_after_backup_wipe_and_restore_everything_acknowledged_is_there(house):
    path = house.folder / "backup-at-rest.tar"
    house.stage.quiet()
    head = house.stage.head()
    deploy(house, "backup", path)
    house.compose("down", "-v", "-t", "15")
    assert not [name for name in containers.marked("volume", "ls") if name.startswith(house.project + "_")]
    deploy(house, "restore", path)
    house.reopen()
    assert house.stage.head() >= head
    assert house.inspect("connector")["State"]["Running"] is False, "payments are not on hold"
    deploy(house, "restore", "--release-payments")
    house.wait_ready()
    house.prove(compare=True)


def test_after_the_loss_of_everything_but_an_old_backup_and_the_witness_nothing_delivered_is_lost(house):
    path = house.folder / "backup-at-rest.tar"
    remembered = list(house.acks)
    with house.load() as running:
        running.progress(10).finish()
    house.acks[:] = remembered  # what was answered after the backup is answered by nobody again: that memory is lost
    house.delivered.extend(running.delivered)
    house.stage.quiet()
    head = house.stage.head()
    house.compose("down", "-t", "15")
    volumes = [name for name in containers.marked("volume", "ls") if name.startswith(house.project + "_")]
    containers.docker("volume", "rm", *(name for name in volumes if not name.endswith("_witness")))
    code, told = deploy(house, "restore", path, check=False)
    assert code == 1 and "are lost" in told and "deploy/restore --catch-up" in told, told
    deploy(house, "restore", "--catch-up")
    house.reopen()
    house.stage.quiet()
    assert house.stage.head() == head
    deploy(house, "restore", "--release-payments")
    house.wait_ready()
    house.prove(compare=True)


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


# -------------------------------------------------------------------------------------------------------- upgrade


def next_version(house, name, step):
    """Images of another version: every service as it is, intake with one more step of its schema. Returns the tag."""
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
    for service in ["intake", "console"]:
        (folder / "Dockerfile").write_text(f"FROM tildel/{service}:{house.tag}\nCOPY tildel-intake /usr/local/bin/\n")
        containers.run("docker", "build", "-q", "-t", f"tildel/{service}:{tag}", folder)
    return tag


def test_an_upgrade_under_load_loses_nothing_and_the_old_version_serves_while_the_schema_moves(house):
    tag = next_version(house, NEXT, GOOD)
    with house.load() as running:
        running.progress(5)
        deploy(house, "upgrade", tag)
        running.progress(5).finish()
    for service in containers.EVERYONE:
        if service != "postgres":
            assert house.inspect(service)["Config"]["Image"] == f"tildel/{service}:{tag}"
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
