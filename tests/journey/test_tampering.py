"""Who changes what is stored, with a superuser's hand, is found out: by the console and by the checker."""

import contextlib

import psycopg2
import pytest

import checker
import play


FLIPPED = "set_byte(bytes, 90, get_byte(bytes, 90) # 1)"  # one bit; done twice, it is as before


@contextlib.contextmanager
def changed(house, change, restore):
    """Change something past every guard, and put it back whatever happens."""
    connection = psycopg2.connect(house.stack.cluster.url("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no trigger stands in a superuser's way
        cursor.execute(change)
        assert cursor.rowcount == 1
        try:
            yield
        finally:
            cursor.execute(restore)
            connection.close()


def found(house, *words):
    done = house.tildel(*words)
    return done.returncode == 4


def test_nothing_is_found_where_nothing_was_changed(undisturbed):
    assert not found(undisturbed, "verify")
    assert not found(undisturbed, "compare", "--with", "audit")


@pytest.mark.parametrize("position", [1, 64, 100])
def test_a_rewritten_event_is_found(undisturbed, position):
    flip = f"UPDATE eventlog.log SET bytes = {FLIPPED} WHERE position = {position}"
    with changed(undisturbed, flip, flip):
        assert found(undisturbed, "verify")
        assert checker.check(undisturbed.stack, [])
    assert not found(undisturbed, "verify")


def test_a_rewritten_event_with_its_leaf_mended_is_found(undisturbed):
    both = (f"UPDATE eventlog.log SET bytes = {FLIPPED}, leaf = sha256('\\x00'::bytea || {FLIPPED})"
            f" WHERE position = 64")
    with changed(undisturbed, both, both):
        assert found(undisturbed, "verify")
        assert checker.check(undisturbed.stack, [])


def test_a_changed_table_of_a_service_is_found(undisturbed):
    case = undisturbed.stage.cases["stavanger"]
    more = f"UPDATE allocation.case_grant SET amount_ore = amount_ore + 1 WHERE application_id = '{case.id}'"
    less = more.replace("+ 1", "- 1")
    with changed(undisturbed, more, less):
        assert found(undisturbed, "compare", "--with", "audit")
    assert not found(undisturbed, "compare", "--with", "audit")


def test_an_acknowledgement_that_nobody_remembers_is_found(undisturbed):
    ack = next(ack for ack in undisturbed.client.acks if ack.service == "intake"
               and ack.type.startswith("intake"))
    change = f"UPDATE intake.loop_answered SET status = status + 10 WHERE id = '{ack.id}'"
    with changed(undisturbed, change, change.replace("+ 10", "- 10")):
        assert checker.check(undisturbed.stack, undisturbed.client.acks)
