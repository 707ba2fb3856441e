"""What operators get wrong: told in one sentence, not ready or a non-zero exit, and no damage when it is put right."""

import contextlib
import json
import socket
import time

import containers

VICTIM = "evaluation"  # no part of the load, and as good as any


@contextlib.contextmanager
def written(path, text):
    """Another text in a file that a container has mounted, and the old one back."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def restarted(house, why):
    """The victim is started again and is not well; its last sentence says why. The others go on."""
    since = str(int(time.time()))
    containers.docker("restart", "-t", "5", house.id(VICTIM))
    end = time.monotonic() + 40
    while True:
        told = [json.loads(line) for line in containers.docker("logs", "--since", since, house.id(VICTIM)).splitlines()
                if line.startswith("{")]
        if any(why(line) for line in told):
            break
        assert time.monotonic() < end, told[-3:]
        time.sleep(0.5)
    assert not house.healthy(house.id(VICTIM), VICTIM)
    house.stage.does("drift.1:OPERATOR", "eventlog.v1.GetHead")


def well_again(house):
    containers.docker("restart", "-t", "5", house.id(VICTIM))
    house.wait_ready([VICTIM])


def test_a_wrong_password_is_told_and_nothing_is_harmed(house):
    path = house.folder / ".secrets" / f"{VICTIM}.url"
    wrong = path.read_text().replace(f"tildel_{VICTIM}:", f"tildel_{VICTIM}:x")
    with written(path, wrong):
        restarted(house, lambda line: "password authentication failed" in line.get("reason", ""))
    told = containers.docker("logs", house.id(VICTIM))
    assert wrong.split(":")[2].split("@")[0] not in told, "the password is in the log"
    well_again(house)


def test_a_key_that_is_not_in_the_registry_is_told(house):
    folder = house.folder / "strangers"
    containers.docker("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "tildel-keys", "-v",
                      f"{folder}:/keys", f"tildel/broker:{house.tag}", "/keys")
    name = f"{VICTIM}.secret.zpl"
    with written(house.folder / ".secrets" / name, (folder / name).read_text()):
        restarted(house, lambda line: "registry" in line.get("what", "") + line.get("reason", ""))
    well_again(house)


def test_settings_and_secrets_that_are_wrong_or_missing_are_told_before_anything_starts(house):
    secret = house.folder / ".secrets" / f"{VICTIM}.url"
    faults = {
        f"{VICTIM}.url": (secret, None),
        "BROKER_PORT": (house.folder / ".env", ("BROKER_PORT=", "BROKER_PORT=port ")),
        "DEBTOR_ACCOUNT": (house.folder / ".env", ("DEBTOR_ACCOUNT=1", "DEBTOR_ACCOUNT=2")),
        "no setting": (house.folder / ".env", ("VERSION=", "VERSOIN=")),
    }
    check = house.folder / "deploy" / "init"
    assert containers.run(check, "--check", env=house.environment())[0] == 0
    for word, (path, change) in faults.items():
        text, mode = path.read_text(), path.stat()
        if change is None:
            path.rename(path.with_suffix(".away"))
        else:
            path.write_text(text.replace(*change))
        code, told = containers.run(check, "--check", check=False, env=house.environment())
        if change is None:
            path.with_suffix(".away").rename(path)
        else:
            path.write_text(text)
        assert code == 1 and word in told, told
        assert (path.stat().st_mode, path.stat().st_uid) == (mode.st_mode, mode.st_uid)
    code, told = house.compose("config", check=False)
    assert code == 0
    with written(house.folder / ".env", (house.folder / ".env").read_text().replace("DEBTOR_NAME=", "DEBTOR_NAM=")):
        code, told = house.compose("up", "-d", check=False)
        assert code != 0 and "DEBTOR_NAME" in told, told


def test_a_port_that_is_taken_is_told_and_the_house_goes_on_when_it_is_free(house):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = house.port
        house.write(BROKER_PORT=f"127.0.0.1:{port}")
        code, told = house.compose("up", "-d", "--no-deps", "broker", check=False)
        assert code != 0 and str(port) in told and ("in use" in told or "already allocated" in told), told
    house.write(BROKER_PORT=f"127.0.0.1:{own}")
    house.up("--no-deps", "broker")
    house.wait_ready()
    house.reopen()


def test_a_database_ahead_of_the_program_is_not_touched(house):
    ahead = f"INSERT INTO {VICTIM}.schema_step (list, number) VALUES (1, 999)"
    sql(house, ahead)
    try:
        code, told = house.compose("run", "--rm", "-T", "--no-deps", "migrate", check=False)
        assert code == 1 and "newer program" in told, told
    finally:
        sql(house, f"DELETE FROM {VICTIM}.schema_step WHERE number = 999")
    assert house.compose("run", "--rm", "-T", "--no-deps", "migrate")[0] == 0


def sql(house, statement):
    return house.execute("postgres", "psql", "-X", "-q", "-tA", "-h", "/run/postgresql", "-U", "postgres", "-d", "tildel",
                         "-v", "ON_ERROR_STOP=1", "-c", statement)[1]


def test_after_all_these_mistakes_nothing_is_lost(house):
    with house.load() as running:
        running.progress(10).finish()
    house.prove(running)
