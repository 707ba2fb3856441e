"""What every process shows of itself, through real processes: the figures' form, that they move with the work, live
and ready told apart, and the rules that Prometheus is given."""

import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.request

import play
import pytest
import stack
from conftest import House

PROMETHEUS = pathlib.Path(stack.ROOT) / "deploy" / "prometheus"
PROCESSES = ["broker", "eventlog", "witness", *stack.SERVICES, "connector"]
SERIES = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """One stack for all of these; each test leaves it as it was: everything up and ready."""
    made = House(tmp_path_factory.mktemp("metrics") / "stack")
    try:
        yield made.up()
    finally:
        made.down()


def promtool(*words, input=None, folder=None):
    done = subprocess.run(["promtool", *words], input=input, cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def asked(house, name, path):
    """Status and text of a page of a process."""
    try:
        with urllib.request.urlopen(f"http://{house.stack.metrics_bind(name)}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def figures(house, name):
    """Every series of a process and its value; a series that stands there twice is a fault."""
    found = {}
    for line in asked(house, name, "/metrics")[1].splitlines():
        if line.startswith("#"):
            continue
        match = SERIES.match(line)
        assert match, f"{name}: this is no series: {line}"
        assert match[1] not in found, f"{name}: {match[1]} stands there twice"
        found[match[1]] = float(match[2])
    return found


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)
    return found


def test_every_process_shows_figures_that_prometheus_takes_and_that_move_with_the_work(house):
    for name in PROCESSES:
        code, words = promtool("check", "metrics", input=asked(house, name, "/metrics")[1])
        assert (code, words) == (0, ""), f"{name}: {words}"
    before = {name: figures(house, name) for name in PROCESSES}
    for name in PROCESSES:
        assert [series for series in before[name] if series.startswith(f'tildel_build_info{{service="{name}"')]
        assert before[name]["tildel_ready"] == 1
        assert before[name]["process_resident_memory_bytes"] > 1e6
        assert before[name]["process_open_fds"] > 3

    play.play(house.stage)
    house.stage.quiet()
    time.sleep(6)  # the tables are looked into every five seconds
    after = {name: figures(house, name) for name in PROCESSES}

    def grew(name, series):
        return after[name][series] - before[name].get(series, 0)

    assert grew("intake", 'tildel_messages_total{type="intake.v1.SaveDraft",outcome="OK"}') > 0
    assert grew("intake", 'tildel_message_seconds_count{kind="command"}') > 0
    assert grew("intake", "tildel_batch_commands_count") > 0
    assert grew("eventlog", "tildel_appended_events_total") == grew("eventlog", "tildel_log_position") > 0
    assert grew("eventlog", "tildel_append_events_sum") == grew("eventlog", "tildel_appended_events_total")
    assert grew("eventlog", "tildel_append_seconds_count") > 0
    assert grew("broker", 'tildel_requests_total{service="intake",status="OK"}') > 0
    assert grew("connector", 'tildel_orders_total{outcome="OK"}') > 0
    assert grew("connector", 'tildel_statuses_total{outcome="OK"}') > 0
    for name in stack.SERVICES:
        assert after[name]["tildel_leads"] == 1
        assert after[name]["tildel_log_position"] == after["eventlog"]["tildel_log_position"]
        assert after[name]["tildel_outbox_events"] == after[name]["tildel_incidents"] == 0
    for name in PROCESSES:
        for series in before[name]:
            if "_total" in series or "_bucket" in series or "_count" in series:
                assert grew(name, series) >= 0, f"{name}: {series} went back"

    words_of_others(house, after["intake"])
    a_repeat_is_counted(house)


def words_of_others(house, before):
    """Whoever sends types of his own makes no figures."""
    for number in range(20):
        house.client.send([house.client.packet(f"0190b2f0-0000-7000-8000-0000000000{number:02}", "intake",
                                               f"intake.v1.Nonsense{number}", play.AUDITOR), b""])
    other = 'tildel_messages_total{type="other",outcome="POISON"}'
    after = until(lambda: (found := figures(house, "intake"))[other] >= before[other] + 20 and found)
    assert set(after) == set(before)


def a_repeat_is_counted(house):
    before = figures(house, "intake")["tildel_repeats_total"]
    house.client.twice = True
    house.client.ask("intake.v1.SaveDraft", {}, play.AUDITOR)
    assert until(lambda: figures(house, "intake")["tildel_repeats_total"] == before + 1)


def test_what_the_log_does_not_take_is_counted_and_grows_old(house):
    # First what is on its way, then, when that is given up after ten seconds, what is left behind.
    assert house.stack.process("eventlog").stop()
    oslo = {"organisation_number": "958935420", "name": "Oslo, once more", "form": "KOMM", "municipality_number": "0301",
            "language": "neutral"}
    house.stage.does(play.OFFICER, "intake.v1.ImportOrganisations", organisations=[oslo])
    until(lambda: figures(house, "intake")["tildel_outbox_events"] == 1)
    until(lambda: figures(house, "intake")["tildel_outbox_age_seconds"] > 14)
    assert figures(house, "intake")["tildel_outbox_events"] == 1
    house.stack.start("eventlog")
    until(lambda: figures(house, "intake")["tildel_outbox_events"] == 0)
    assert figures(house, "intake")["tildel_outbox_age_seconds"] == 0
    house.stack.wait_ready()


def test_a_process_without_its_database_is_live_and_not_ready_until_it_is_back(house):
    for name in PROCESSES:
        assert asked(house, name, "/ready") == (200, "ready\n")
        assert asked(house, name, "/live")[0] == 200
        assert house.stack.health(name).returncode == house.stack.health(name, "live").returncode == 0
        assert house.stack.health(name, "well").returncode == 2
    house.stack.cluster.stop()
    for name in ["eventlog", *stack.SERVICES]:
        _, words = until(lambda: (page := asked(house, name, "/ready"))[0] == 503 and page)
        assert "database" in words, words
        assert asked(house, name, "/live")[0] == 200
        health = house.stack.health(name)
        assert health.returncode == 3 and "database" in health.stdout, health.stdout
        assert house.stack.health(name, "live").returncode == 0
        assert figures(house, name)["tildel_database_up"] == 0
    assert asked(house, "broker", "/ready")[0] == asked(house, "connector", "/ready")[0] == 200
    house.stack.cluster.start()
    for name in PROCESSES:
        assert until(lambda: asked(house, name, "/ready")[0] == 200)
    classes = figures(house, "intake")
    assert sum(value for series, value in classes.items()
               if re.match(r'tildel_database_errors_total\{class="(08|57)"', series)) > 0


def test_whoever_waits_says_on_what(house):
    # A second writer stands by; a second instance of a service is ready and does not lead.
    house.stack.start("eventlog-2")
    house.stack.start("intake-2")
    _, words = until(lambda: (page := page_of(house, "eventlog-2"))[0] == 503 and "standing" in page[1] and page)
    assert words == "not ready: standing by: another writer holds the log\n"
    assert asked(house, "eventlog-2", "/live")[0] == 200
    assert house.stack.process("eventlog-2").stop()
    assert until(lambda: page_of(house, "intake-2")[0] == 200)
    assert figures(house, "intake-2")["tildel_leads"] == 0 and figures(house, "intake")["tildel_leads"] == 1
    # Without the broker everyone says so, but who needs none.
    house.stack.process("broker").stop()
    for name in ["eventlog", "intake", "intake-2", "connector"]:
        _, words = until(lambda: (page := asked(house, name, "/ready"))[0] == 503 and page)
        assert "the broker has not been heard" in words
    house.stack.start("broker")
    # A tray that is gone.
    assert until(lambda: asked(house, "connector", "/ready")[0] == 200)
    (house.stack.folder / "trays" / "done").rename(house.stack.folder / "trays" / "gone")
    _, words = until(lambda: (page := asked(house, "connector", "/ready"))[0] == 503 and page)
    assert f"the folder {house.stack.folder}/trays/done cannot be written" in words
    (house.stack.folder / "trays" / "gone").rename(house.stack.folder / "trays" / "done")
    # A process that was not started before its database is there answers all the same.
    house.stack.process("intake-2").stop()
    house.stack.cluster.stop()
    house.stack.start("intake-2")
    _, words = until(lambda: (page := page_of(house, "intake-2"))[0] == 503 and "database" in page[1] and page)
    assert asked(house, "intake-2", "/live")[0] == 200
    house.stack.cluster.start()
    for name in [*PROCESSES, "intake-2"]:
        assert until(lambda: page_of(house, name)[0] == 200)
    assert house.stack.process("intake-2").stop()


def page_of(house, name):
    """As asked, of a process that may not listen yet."""
    try:
        return asked(house, name, "/ready")
    except OSError:
        return 0, ""


def test_an_address_that_is_taken_or_malformed_ends_the_process_with_a_sentence(house):
    taken = house.stack.metrics_bind("intake")
    for name in ["broker", "eventlog", "intake", "connector"]:
        for bind, words in [(taken, f"METRICS_BIND {taken} cannot be listened on: Address already in use"),
                            ("localhost:9464", "METRICS_BIND is 'localhost:9464'; it must be")]:
            env = {**house.stack.env(name), "METRICS_BIND": bind, "BROKER_BIND": "tcp://127.0.0.1:*",
                   "FINANCE_STATE": str(house.stack.folder / "trays" / "bank")}
            done = subprocess.run([house.stack.binary(name)], env=env, text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
            assert done.returncode == 1 and words in done.stdout, done.stdout


def test_the_rules_for_prometheus_are_right_and_each_alert_is_tried_both_ways():
    for words in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"],
                  ["test", "rules", "alerts_test.yml"]):
        code, said = promtool(*words, folder=PROMETHEUS)
        assert code == 0, said
    rules, tests = (PROMETHEUS / "alerts.yml").read_text(), (PROMETHEUS / "alerts_test.yml").read_text()
    names = re.findall(r"- alert: (\w+)", rules)
    assert names[0] == "Watchdog" and len(names) == len(set(names))
    for name in names:
        block = tests.partition(f"  - name: {name}")[2].partition("  - name: ")[0]
        assert f"exp_samples: [{{labels: '{{alertname=\"{name}\"}}', value: 1}}]" in block, f"{name} never fires"
        assert name == "Watchdog" or "exp_samples: []" in block, f"{name} is never silent"
    for rule in rules.split("- alert: ")[1:]:
        for word in ("severity: ", "summary: ", "description: "):
            assert word in rule, f"{rule.split()[0]} has no {word}"


def test_the_alerts_speak_of_figures_that_there_are(house):
    shown = {re.match(r"\w+", series)[0] for name in PROCESSES for series in figures(house, name)}
    spoken = set(re.findall(r"\b(?:tildel|process)_\w+", (PROMETHEUS / "alerts.yml").read_text()))
    assert spoken <= shown, spoken - shown
