"""The whole database comes back as it was weeks before: the witness puts the log right, every service catches up with it,
and the house is as if nothing had been lost but the memory of answers."""

import shutil
import subprocess

import checker
import play
import stack
from test_log import copy_of, repair, restore, until


def catch_up(house, name):
    return subprocess.run([house.stack.binary(name), "--catch-up"], env=house.stack.env(name), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stop(house, *names):
    for name in names:
        assert house.stack.process(name).stop(), name


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
        if title == [title for title, _ in play.SCENES][5]:
            house.stage.quiet()
            kept.append(copy_of(house))                         # given: a copy of the middle of the call

    house.up()
    play.play(house.stage, after)
    before = house.end_state()
    head = house.stage.head()
    stop(house, *stack.SERVICES, "connector", "eventlog")
    older = kept[0].with_name("older")
    shutil.copytree(kept[0], older, symlinks=True)
    subprocess.run(["chown", "-R", "--reference", str(kept[0]), str(older)], check=True)
    restore(house, older)                                       # when
    assert repair(house).returncode == 0
    house.stack.start("eventlog")
    assert until(lambda: house.stack.healthy("eventlog"))
    decided_again(house, "evaluation")
    for name in stack.SERVICES:
        done = catch_up(house, name)
        assert done.returncode == 0, done.stdout + done.stderr
        again = catch_up(house, name)                           # a second time changes nothing
        assert again.returncode == 0 and '"events":0' in again.stdout, again.stdout + again.stderr
    for name in [*stack.SERVICES, "connector"]:
        house.stack.start(name)
    house.stage.quiet()
    assert house.stage.head() == head                           # then
    assert house.end_state() == before
    verified(house)
    assert checker.check(house.stack, []) == []

    # None is brought up while it is at work.
    done = catch_up(house, "intake")
    assert done.returncode == 1 and "an instance of intake is at work; stop all of them first" in done.stderr
