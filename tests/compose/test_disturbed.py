"""The running house under a steady load, disturbed in every way a night can bring. What was acknowledged is there once,
the log has no gap, and the load sees no answer but OK and "come back later"."""

import random
import time

import containers
import play
from lived import say

GRACE_S = 15


def exits(house, service, since):
    return [code for name, code in house.deaths()[since:] if name == service]


def leaders(house):
    status = house.stage.speaker.ask("service.v1.GetStatus", {}, play.OPERATOR, service="intake").body
    return [one["name"] for one in status["instances"] if one["leads"] and one["reported_ms_ago"] < 5000]


def test_intake_is_scaled_to_four_and_back_to_one_and_nothing_is_lost(house):
    with house.load() as running:
        running.progress(10)
        house.up("--no-recreate", "--scale", "intake=4")
        house.wait_ready(["intake"], 30)
        running.progress(40)
        status = house.stage.speaker.ask("service.v1.GetStatus", {}, play.OPERATOR, service="intake").body
        assert len(status["instances"]) == 4
        assert sum(one["commands"] not in (0, "0") for one in status["instances"]) == 4, "not all of them work"
        hand_the_lease_over(house, running)
        back_to_one(house, running)
        running.progress(20)
        running.finish()
    house.prove(running)


def hand_the_lease_over(house, running):
    """The one that leads is asked to stop: another leads at once, and it ends well within its time."""
    (leader,), before = leaders(house), len(house.deaths())
    began = time.monotonic()
    containers.docker("stop", "-t", str(GRACE_S), leader)
    took = time.monotonic() - began
    assert exits(house, "intake", before) == [0] and took < GRACE_S / 2 * containers.slack(), f"{took:.1f} s, {house.deaths()[before:]}"
    house.stage.until("another instance to lead", lambda: leaders(house) not in ([], [leader]))
    running.progress(10)
    containers.docker("start", leader)
    house.wait_ready(["intake"], 30)


def back_to_one(house, running):
    before, began = len(house.deaths()), time.monotonic()
    house.up("--no-recreate", "--scale", "intake=1")
    took = time.monotonic() - began
    assert len(house.ids("intake", "-a")) == 1
    assert exits(house, "intake", before) == [0, 0, 0], house.deaths()[before:]
    assert took < (GRACE_S + 10) * containers.slack(), f"{took:.1f} s"


def test_a_burst_beyond_the_queue_is_refused_at_once_with_a_time_and_all_goes_on_afterwards(house):
    """Intake stands still, and 2500 drafts come at once: the broker keeps 2000, the rest is told when to come back."""
    with house.load(rate=1000, most=2500, drafts=True) as burst:
        burst.progress(1)
        house.pause("intake")
        began = time.monotonic()
        while not burst.retry_after_ms and time.monotonic() < began + 20 * containers.slack():
            burst.alive()
            time.sleep(0.05)
        told_s = time.monotonic() - began
        begun = burst.begun
        time.sleep(2)
        house.unpause("intake")
        assert burst.retry_after_ms and min(burst.retry_after_ms) > 0, f"nobody was told to wait; {burst}"
        say(f"  told after {told_s:.1f} s with {begun} begun; {len(burst.retry_after_ms)} times in all")
        burst.finish(120)
    refused = house.stage.speaker.ask("bus.v1.GetPeers", {}, play.OPERATOR).body["queues"]
    assert any(one["service"] == "intake" and int(one["refused_full"]) > 0 for one in refused)
    house.prove(burst)


def test_each_container_killed_in_turn_under_load_loses_nothing(house):
    with house.load() as running:
        running.progress(10)
        for service in containers.EVERYONE:
            house.kill(service)
            running.alive()
            house.start(service)  # Docker takes `docker kill` for a wish and leaves it down, as the runbook says
            running.progress(5)
        house.wait_ready(seconds=30)
        running.finish()
    house.prove(running)


def test_each_process_that_dies_by_itself_is_brought_back_by_docker(house):
    """Killed behind Docker's back, as a crash would: the restart policy starts it again."""
    with house.load() as running:
        running.progress(5)
        for service in containers.EVERYONE:
            before = house.inspect(service)
            containers.run("kill", "-9", before["State"]["Pid"])
            house.stage.until(f"{service} to be started again",
                              lambda: house.inspect(service)["RestartCount"] > before["RestartCount"])
            running.progress(3)
        house.wait_ready(seconds=30)
        running.finish()
    house.prove(running)


# Those whose absence hides another's go alone; the rest in pairs of which one stands still and the other is cut off.
OTHERS = ["evaluation", "allocation", "payment", "reporting", "connector"]
ROUNDS = [  # (cut from its networks, paused), ten seconds each
    (["postgres"], []), ([], ["postgres"]), (["broker"], []), ([], ["broker"]),
    (["eventlog"], OTHERS), (OTHERS, ["eventlog"]), (["intake", "witness"], ["approval"]),
    (["approval"], ["intake", "witness"]),
]
AWAY_S = 10


def test_every_container_is_disturbed_in_both_ways():
    for kind in (0, 1):
        assert sorted(name for one in ROUNDS for name in one[kind]) == sorted(containers.EVERYONE)


def test_each_container_cut_from_its_networks_or_standing_still_for_ten_seconds_loses_nothing(house):
    with house.load() as running:
        running.progress(5)
        for cut, paused in ROUNDS:
            for service in cut:
                house.cut(service)
            for service in paused:
                house.pause(service)
            time.sleep(AWAY_S)
            for service in paused:
                house.unpause(service)
            for service in cut:
                house.join(service)
            began = time.monotonic()
            running.progress(5)
            say(f"  cut {' '.join(cut) or '-'}, paused {' '.join(paused) or '-'}: delivers again after "
                f"{time.monotonic() - began:.1f} s")
        house.wait_ready(seconds=30)
        running.finish()
    house.prove(running)


def test_a_rolling_restart_of_everything_under_load_loses_nothing(house):
    before = len(house.deaths())
    with house.load() as running:
        running.progress(5)
        for service in containers.EVERYONE:
            house.compose("restart", service)
            running.progress(3)
        house.wait_ready(seconds=30)
        running.finish()
    died = house.deaths()[before:]
    assert sorted(died) == sorted((service, 0) for service in containers.EVERYONE), died
    house.prove(running)


def test_started_in_any_order_everything_is_ready_within_thirty_seconds(house):
    seed = random.SystemRandom().randrange(10**6)
    order = containers.shuffled(seed)
    say(f"  seed {seed}: {' '.join(order)}")
    house.compose("stop", "-t", str(GRACE_S))
    for service in order:
        house.start(service)
    took = house.wait_ready(seconds=30)
    say(f"  ready after {took:.1f} s")
    with house.load() as running:
        running.progress(10).finish()
    house.prove(running, compare=True)
