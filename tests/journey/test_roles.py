"""What a service's own database role can not do, whatever the service is made to say."""

import psycopg2
import pytest

SCHEMAS = ["eventlog", "intake", "approval", "evaluation", "allocation", "payment", "reporting"]


def attempt(house, role, statement):
    connection = psycopg2.connect(house.stack.cluster.url(role))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize("service", SCHEMAS)
def test_a_service_reads_no_other_schema(undisturbed, service):
    for other in SCHEMAS:
        table = {"eventlog": "eventlog.log"}.get(other, f"{other}.loop_answered")
        if other == service:
            attempt(undisturbed, f"tildel_{service}", f"SELECT 1 FROM {table} LIMIT 1")
        else:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                attempt(undisturbed, f"tildel_{service}", f"SELECT 1 FROM {table} LIMIT 1")


@pytest.mark.parametrize("statement", [
    "UPDATE eventlog.log SET bytes = ''", "DELETE FROM eventlog.log", "TRUNCATE eventlog.log",
                                       "DELETE FROM eventlog.place",
    "UPDATE eventlog.root SET root = ''", "DELETE FROM eventlog.head", "DROP TABLE eventlog.log",
    "ALTER TABLE eventlog.log DISABLE TRIGGER ALL"])
def test_the_log_is_only_added_to_by_its_own_service(undisturbed, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        attempt(undisturbed, "tildel_eventlog", statement)


@pytest.mark.parametrize("statement",
                         ["UPDATE eventlog.log SET bytes = ''", "DELETE FROM eventlog.log",
                          "DELETE FROM eventlog.place"])
def test_the_log_is_not_changed_by_its_owner_either(undisturbed, statement):
    with pytest.raises(psycopg2.errors.RaiseException, match="only added to"):
        attempt(undisturbed, "tildel_owner", statement)


def test_the_auditor_reads_everything_and_writes_nothing(undisturbed):
    for schema in SCHEMAS:
        table = {"eventlog": "eventlog.log"}.get(schema, f"{schema}.loop_answered")
        attempt(undisturbed, "tildel_auditor", f"SELECT 1 FROM {table} LIMIT 1")
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        attempt(undisturbed, "tildel_auditor", "DELETE FROM intake.loop_answered")
