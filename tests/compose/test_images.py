"""What the images are, and what a process in one of them can not do."""

import json
import re
import socket

import containers

SMALL = ["broker", "witness", "eventlog", *containers.SERVICES]
MOST_ABOVE_BASE = 40 * 1000 * 1000


def image(house, service):
    return json.loads(containers.docker("image", "inspect", f"tildel/{service}:{house.tag}"))[0]


def test_an_image_of_a_bus_and_database_service_is_less_than_40_mb_above_its_base(house):
    base = json.loads(containers.docker("image", "inspect", house.base))[0]["Size"]
    above = {service: image(house, service)["Size"] - base for service in SMALL}
    assert all(size < MOST_ABOVE_BASE for size in above.values()), above


def test_an_image_says_what_it_is_and_runs_as_nobody_special(house):
    for service in [*containers.EVERYONE, "console"]:
        config = image(house, service)["Config"]
        assert config["User"] not in ("", "0", "root"), service
        assert config["Labels"]["org.opencontainers.image.version"] == house.tag, service
        assert config["Labels"]["org.opencontainers.image.revision"] == house.commit, service


def secrets_of(house):
    """Every password and secret key, as they would stand in a layer, an environment or an argument."""
    found = []
    for path in (house.folder / ".secrets").iterdir():
        text = path.read_text()
        found += re.findall(r'secret-key = "(.{40})"', text) + re.findall(r"PRIVATE\+KEY\+[^+]+\+[0-9a-f]+\+(\S+)", text)
        found += [line.split()[-1] for line in text.splitlines()] if path.name == "passwords" else []
    assert len(found) >= 9 + 13 + 2
    return found


def test_no_secret_is_in_an_image_or_in_what_docker_tells_of_a_container(house):
    names = [f"tildel/{service}:{house.tag}" for service in [*containers.EVERYONE, "console"]]
    told = "".join(containers.docker("history", "--no-trunc", name) for name in names)
    told += containers.docker("image", "inspect", *names)
    told += containers.docker("inspect", *(house.id(service) for service in [*containers.EVERYONE, "migrate"]))
    assert not [secret[:4] + "..." for secret in secrets_of(house) if secret in told]


def test_secrets_belong_to_the_images_users_and_to_nobody_else(house):
    for path in (house.folder / ".secrets").iterdir():
        right = (0o600, 10002 if path.name == "passwords" else 10001)
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == right, path


def test_a_container_is_bound_as_promised(house):
    for service in containers.EVERYONE:
        host = house.inspect(service)["HostConfig"]
        assert host["ReadonlyRootfs"] and host["Init"] and not host["Privileged"], service
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert 0 < host["PidsLimit"] <= 256 and 0 < host["Memory"] <= 2 * 2**30, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service


# What a process tries; it says what worked. Not even root of the container can: its bounding set is empty.
TRIES = """
for path in /usr/local/bin/x /etc/x /home/x /run/secrets/x /run/secrets/registry.zpl /x; do
    (echo x >>$path) 2>/dev/null && echo "$(id -u) wrote $path"
done
chown 12345 /tmp 2>/dev/null && echo "$(id -u) gave /tmp away"
mount -t tmpfs none /mnt 2>/dev/null && echo "$(id -u) mounted"
grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status | tr -d '\\t'
"""
NOTHING = [f"Cap{name}:{'0' * 16}" for name in ("Prm", "Eff", "Bnd", "Amb")] + ["NoNewPrivs:1"]


def test_a_process_can_not_write_outside_its_volume_nor_gain_a_right(house):
    for service in containers.EVERYONE:
        for user in (None, "0"):
            told = house.execute(service, "sh", "-c", TRIES, user=user)[1].split("\n")
            assert [line for line in told if line] == NOTHING, f"{service} as {user or 'itself'}"


def reached(house, service, *targets):
    """Those of the targets that take a TCP connection, seen from within a container."""
    tries = "\n".join(f"timeout 2 bash -c 'exec 3<>/dev/tcp/{host}/{port}' 2>/dev/null && echo {host}:{port} &"
                      for host, port in targets)
    return set(house.execute(service, "bash", "-c", f"{tries}\nwait")[1].split())


def test_networks_keep_the_connector_from_the_database_and_the_database_from_the_world(house):
    postgres, eventlog = house.address("postgres", "database"), house.address("eventlog", "database")
    assert reached(house, "intake", (postgres, 5432), ("eventlog", 5556), ("broker", 5555)) == {
        f"{postgres}:5432", "eventlog:5556", "broker:5555"}
    assert reached(house, "connector", ("broker", 5555), ("postgres", 5432), (postgres, 5432), (eventlog, 5556),
                   ("eventlog", 5556)) == {"broker:5555"}
    assert reached(house, "broker", (postgres, 5432), ("postgres", 5432)) == set()
    assert reached(house, "postgres", ("broker", 5555), (house.address("broker", "bus"), 5555)) == set()


def test_only_the_brokers_port_is_published_and_only_where_the_setting_says(house):
    published = {service: [f"{binding['HostIp']}:{binding['HostPort']}"
                           for bindings in house.inspect(service)["NetworkSettings"]["Ports"].values()
                           for binding in bindings or []]
                 for service in containers.EVERYONE}
    assert {service: ports for service, ports in published.items() if ports} == {
        "broker": [f"127.0.0.1:{house.port}"]}
    with socket.create_connection(("127.0.0.1", house.port), 5):
        pass


def test_each_container_holds_its_own_key_and_password_and_no_other(house):
    for service in containers.EVERYONE:
        held = {mount["Destination"].rsplit("/", 1)[1] for mount in house.inspect(service)["Mounts"]
                if mount["Destination"].startswith("/run/secrets/")}
        own = "finance" if service == "connector" else service
        right = {"passwords"} if service == "postgres" else {"registry.zpl", f"{own}.secret.zpl"}
        if service in ["eventlog", *containers.SERVICES]:
            right.add(f"{own}.url")
        right |= {"eventlog": {"log.key", "log.pub"}, "witness": {"witness.key", "log.pub"}}.get(service, set())
        assert held == right, service
