"""The whole database comes back as it was weeks before: the witness puts the log right, every service catches up with it,
and the house is as if nothing had been lost but the memory of answers."""

import subprocess

import checker
import console
import play
import stack
from test_log import copy_of, repair, restore, until


def catch_up(house, name):
    return subprocess.run([house.stack.binary(name), "--catch-up"], env=house.stack.env(name), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def taken_back(house, kept):
    """Everything stops, the database is the older copy, and the witness puts the log right."""
    for name in [*stack.SERVICES, "connector", "eventlog"]:
        if house.stack.process(name).alive():
            assert house.stack.process(name).stop(), name
    restore(house, kept)
    done = repair(house)
    assert done.returncode == 0, done.stdout + done.stderr
    house.stack.start("eventlog")
    assert until(lambda: house.stack.healthy("eventlog"))


def caught_up(house):
    """Every service is brought up to the log, and the house stands again."""
    for name in stack.SERVICES:
        with console.commits(house, name) as waits:
            done = catch_up(house, name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert waits == {"on"}, name                            # the log may be all that is left
        again = catch_up(house, name)                           # a second time changes nothing
        assert again.returncode == 0 and '"events":0' in again.stdout, again.stdout + again.stderr
    for name in [*stack.SERVICES, "connector"]:
        house.stack.start(name)
    house.stage.quiet()


def decided_again(house, name):
    """A service that was started too early has given out a version that the log knows otherwise: it is not brought up."""
    kept = house.stack.cluster.sql(
        f"SELECT l.stream, l.version FROM eventlog.log l LEFT JOIN {name}.loop_stream s ON s.id = l.stream "
        f"WHERE l.stream LIKE '{name}/%' AND l.version > coalesce(s.version, 0) ORDER BY l.position LIMIT 1;")
    stream, version = kept.split()
    before = house.stack.cluster.sql(f"SELECT version FROM {name}.loop_stream WHERE id = '{stream}';").strip()
    house.stack.cluster.sql(
        f"INSERT INTO {name}.loop_outbox VALUES (gen_random_uuid(), '{stream}', {version}, 'x');"
        f"INSERT INTO {name}.loop_stream VALUES ('{stream}', {version}) ON CONFLICT (id) DO UPDATE SET version = {version};")
    done = catch_up(house, name)
    assert done.returncode == 1 and f"version {version} of {stream} was decided again" in done.stderr, done.stderr
    house.stack.cluster.sql(
        f"DELETE FROM {name}.loop_outbox;" +
        (f"UPDATE {name}.loop_stream SET version = {before} WHERE id = '{stream}';" if before else
         f"DELETE FROM {name}.loop_stream WHERE id = '{stream}';"))


def verified(house):
    for words in (["verify"], ["replay", "--into", "audit", "--again"], ["compare", "--with", "audit"]):
        done = house.tildel(*words)
        assert done.returncode == 0, done.stdout


def test_a_database_that_came_back_old_is_brought_up_to_the_log_and_the_call_is_as_it_was(house):
    kept = []

    def after(title):
        if title == play.SCENES[5][0]:
            house.stage.quiet()
            kept.append(copy_of(house))                         # given: a copy of the middle of the call

    house.up()
    play.play(house.stage, after)
    before, head = house.end_state(), house.stage.head()
    taken_back(house, kept[0])                                  # when
    decided_again(house, "evaluation")
    caught_up(house)
    assert house.stage.head() == head                           # then
    assert house.end_state() == before
    verified(house)
    assert checker.check(house.stack, []) == []
    done = catch_up(house, "intake")                            # none is brought up while it is at work
    assert done.returncode == 1 and "an instance of intake is at work; stop all of them first" in done.stderr


def test_a_reaction_that_was_lost_with_the_database_is_made_when_the_house_stands_again(house):
    house.up()
    for _, scene in play.SCENES[:4]:
        scene(house.stage)
    house.stage.calendar("2024-06-12T14:00:00+02:00")
    house.stage.quiet()
    heard, unheard = house.stage.having("no sign_at", "no never_signed", "no partners", call=play.EXTRA)[:2]
    kept = copy_of(house)
    play.sign(house.stage, heard)
    house.stage.becomes(heard, "SUBMITTED")
    house.stack.process("intake").stop()
    play.sign(house.stage, unheard)                             # given: in the log, and nobody has reacted to it

    def witnessed():
        head = house.stage.head()
        return head == int(house.stage.does(play.OPERATOR, "witness.v1.GetWitnessed")["size"]) and house.stack.cluster.sql(
            f"SELECT 1 FROM eventlog.log WHERE type = 'approval.v1.SignedOff' AND position = {head};").strip() == "1"
    assert until(witnessed)
    taken_back(house, kept)                                     # when
    caught_up(house)
    for case in (heard, unheard):                               # then
        house.stage.becomes(case, "SUBMITTED")
    verified(house)
