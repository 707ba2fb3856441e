"""PostgreSQL moves out of the house, with what it holds, to a server of its own, step by step as deploy/README.md tells it; and
nobody speaks to a server that cannot show who it is."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import containers
from test_keeping import deploy
from test_mistakes import restarted, well_again, written

ROLES = ["owner", "auditor", "eventlog", *containers.SERVICES]
# What whoever keeps that server has done before: a cluster that takes nothing but TLS with passwords.
SERVER = """
initdb -D /tmp/cluster -U postgres --auth-local=trust --auth-host=scram-sha-256 >/dev/null
cp /given/server.key /tmp/server.key && chmod 0600 /tmp/server.key
printf 'local all all trust\\nhostssl all all all scram-sha-256\\n' >/tmp/cluster/pg_hba.conf
exec postgres -D /tmp/cluster -c listen_addresses='*' -c unix_socket_directories=/tmp -c ssl=on \
    -c ssl_cert_file=/given/server.crt -c ssl_key_file=/tmp/server.key
"""


class Authority:
    """Whoever vouches for servers."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self.signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0))

    def signed(self, subject, key, extension):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1)).add_extension(extension, critical=False)
                .sign(self.key, hashes.SHA256()))

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server(self, folder, address):
        """server.key and server.crt for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = self.signed(x509.Name([]), key, names)
        (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                              serialization.NoEncryption()))
        (folder / "server.key").chmod(0o644)


class Server:
    """A PostgreSQL on another machine: outside every network of the house, reached through a published port."""

    def __init__(self, house, authority):
        self.name = f"{containers.MARK}-server"
        self.address, self.port = containers.gateway(), containers.free_port()
        given = house.folder / "server"
        given.mkdir()
        authority.server(given, self.address)
        containers.docker("run", "-d", "--name", self.name, "--label", f"com.docker.compose.project={self.name}", "-p",
                          f"{self.address}:{self.port}:5432", "-v", f"{given}:/given:ro", "--entrypoint", "bash",
                          f"tildel/postgres:{house.tag}", "-c", f"PATH=$(echo /usr/lib/postgresql/*/bin):$PATH\n{SERVER}")

    def answers(self):
        return containers.run("docker", "exec", self.name, "pg_isready", "-q", "-h", "/tmp", check=False)[0] == 0

    def psql(self, text, database="tildel"):
        """As its superuser."""
        return containers.docker("exec", "-i", self.name, "psql", "-X", "-q", "-tA", "-v", "ON_ERROR_STOP=1", "-h", "/tmp", "-U",
                                 "postgres", "-d", database, input=text)

    def down(self):
        containers.docker("rm", "-f", "-v", self.name, check=False)


@pytest.fixture(scope="module")
def server(house):
    authority = Authority("the server's authority")
    made = Server(house, authority)
    try:
        house.stage.until("the server outside to answer", made.answers)
        move(house, made, authority)
        yield made
    finally:
        made.down()


def move(house, server, authority):
    secrets = house.folder / ".secrets"
    server.psql("CREATE DATABASE tildel;", "postgres")
    server.psql((house.folder / "deploy" / "postgres" / "roles.sql").read_text())
    server.psql("".join("ALTER ROLE {} PASSWORD '{}';\n".format(*line.split())
                        for line in (secrets / "passwords").read_text().splitlines()))
    house.stage.quiet()
    house.compose("stop", "connector", *containers.SERVICES, "eventlog")
    server.psql(house.execute("postgres", "pg_dump", "-h", "/run/postgresql", "-U", "postgres", "tildel")[1])
    house.compose("stop", "postgres")

    house.write(COMPOSE_FILE="docker-compose.yml:deploy/outside-postgres.yml")
    code, told = deploy(house, "init", "--check", check=False)
    assert code == 1 and "intake.url still leads to the PostgreSQL of this house" in told, told
    assert "POSTGRES_CA names ./.secrets/postgres.ca, which holds no certificate" in told, told
    for role in ROLES:
        address = secrets / f"{role}.url"
        address.write_text(address.read_text().replace("@postgres:5432/", f"@{server.address}:{server.port}/"))
    (secrets / "postgres.ca").write_text(authority.pem())
    deploy(house, "init", "--check")
    house.up()
    house.wait_ready(AFTERWARDS)
    house.reopen()


AFTERWARDS = [name for name in containers.EVERYONE if name != "postgres"]


def test_a_house_whose_postgresql_moved_out_works_and_has_lost_nothing(house, server):
    assert house.ids("postgres") == []
    with house.load() as running:
        running.progress(10).finish()
    house.prove(running, compare=True)
    told = server.psql("SELECT count(*) = count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                       "WHERE usename LIKE 'tildel_%'").strip()
    assert told == "t", "somebody speaks in the clear"


def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(house, server):
    with written(house.folder / ".secrets" / "postgres.ca", Authority("somebody else").pem()):
        restarted(house, lambda line: "certificate verify failed" in line.get("reason", ""))
    well_again(house)


def test_backup_and_restore_of_a_house_whose_postgresql_is_elsewhere_are_told_to_be_the_servers_affair(house, server):
    for words in (["backup"], ["restore"]):
        code, told = deploy(house, *words, house.folder / "no.tar", check=False)
        assert code == 1 and "by its own means" in told, told
