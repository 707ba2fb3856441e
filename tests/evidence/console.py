"""What the tests of the evidence commands share: one run of tildel, and hands in the database."""

import contextlib
import json
import subprocess

import psycopg2


def run(house, *words, binary=None, env=None, **more):
    """One run; standard output and standard error apart."""
    return subprocess.run([binary or house.stack.binary("console"), *words],
                          env={**house.stack.console_env(), **(env or {})}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, **more)


def well(house, *words, **more):
    """A run that must go well; what it wrote."""
    done = run(house, *words, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told(house, *words, **more):
    """The same with --json, read."""
    return json.loads(well(house, *words, "--json", **more))


def start(house, *words):
    return subprocess.Popen([house.stack.binary("console"), *words], env=house.stack.console_env(), text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refused(house, code, sentence, *words, **more):
    """A run that must end with this code and say one sentence on standard error."""
    done = run(house, *words, **more)
    lines = [line for line in done.stderr.splitlines() if line.startswith("tildel: ")]
    assert done.returncode == code, done.stdout + done.stderr
    assert len(lines) == 1 and sentence in lines[0], done.stderr
    return done


def rows(house, statement, values=()):
    with contextlib.closing(psycopg2.connect(house.stack.cluster.url("postgres"))) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else cursor.rowcount


def schemas(house):
    return {name for name, in rows(house, "SELECT nspname FROM pg_namespace")}


def drop(house, prefix):
    for schema in schemas(house):
        if schema.startswith(prefix + "_"):
            rows(house, f"DROP SCHEMA {schema} CASCADE")




@contextlib.contextmanager
def commits(house, schema):
    """synchronous_commit as it is in whatever moves this schema's place in the log meanwhile: {"on"}, {"off"}, or both."""
    found = set()
    rows(house, f"""
        CREATE TABLE {schema}.seen (waits text NOT NULL);
        CREATE FUNCTION {schema}.see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            INSERT INTO {schema}.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER see AFTER UPDATE ON {schema}.loop_cursor FOR EACH ROW EXECUTE FUNCTION {schema}.see();""")
    try:
        yield found
        found |= {waits for waits, in rows(house, f"SELECT waits FROM {schema}.seen")}
    finally:
        rows(house, f"DROP FUNCTION {schema}.see CASCADE; DROP TABLE {schema}.seen")
