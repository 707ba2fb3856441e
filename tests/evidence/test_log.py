"""The log and its witness as real processes: an older copy, a cut end, a fork, what no role may do, tiles and proofs."""

import base64
import shutil
import subprocess
import time
import uuid

import psycopg2
import pytest

import contract
import log_house
import stack
import verifier


@pytest.fixture
def house(tmp_path):
    made = log_house.make(tmp_path / "stack")
    try:
        yield made.up()
    finally:
        made.down()


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def witnessed(house, size):
    """Wait until the witness has cosigned this many events."""
    def look():
        return int(house.ask("witness.v1.GetWitnessed")["cosigned"]) >= size
    assert until(look), house.ask("witness.v1.GetWitnessed")


def alarm(house, *words):
    def look():
        told = house.ask("witness.v1.GetWitnessed")["alarm"]
        return told if all(word in told for word in words) and told else ""
    found = until(look, 60)
    assert found, house.ask("witness.v1.GetWitnessed")
    return found


def key(house, name):
    return verifier.Key((house.stack.folder / "keys" / f"{name}.pub").read_text())


def copy_of(house):
    """A copy of the whole database as it is, taken while it is down."""
    house.stack.cluster.stop()
    place = house.stack.cluster.place() / "data"
    kept = place.with_name("kept")
    shutil.copytree(place, kept, symlinks=True)
    subprocess.run(["chown", "-R", "--reference", str(place), str(kept)], check=True)
    house.stack.cluster.start()
    return kept


def restore(house, kept):
    house.stack.cluster.stop()
    place = house.stack.cluster.place() / "data"
    shutil.rmtree(place)
    kept.rename(place)
    house.stack.cluster.start()


def repair(house):
    return subprocess.run([house.stack.binary("eventlog"), "--repair"], env=house.stack.env("eventlog"), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def restart_log(house):
    house.stack.start("eventlog")
    assert until(lambda: house.stack.healthy("eventlog"))


def test_an_older_copy_is_refused_put_right_and_equal(house):
    house.append(30)
    kept = copy_of(house)                                   # given: a copy of the first 30 events
    assert until(lambda: house.stack.healthy("eventlog"))
    house.append(40)
    witnessed(house, 70)
    before = house.log()
    checkpoints = house.rows("SELECT size, note FROM eventlog.checkpoint WHERE size = 70;")
    house.stack.process("eventlog").stop()
    restore(house, kept)                                    # when
    house.stack.start("eventlog")
    assert until(lambda: not house.stack.process("eventlog").alive())
    assert any("positions 31 to 70 are lost" in reason for reason in house.words_of("eventlog", "alarm"))
    assert len(house.log()) == 30
    done = repair(house)
    assert done.returncode == 0 and '"put_back":40' in done.stdout, done.stdout + done.stderr
    assert house.log() == before                            # then: byte for byte
    assert house.rows("SELECT size, note FROM eventlog.checkpoint WHERE size = 70;") == checkpoints
    restart_log(house)
    house.append(5)
    witnessed(house, 75)
    assert house.ask("witness.v1.GetWitnessed")["alarm"] == ""
    assert '"put_back":0' in (house.stack.process("eventlog").stop() and repair(house).stdout)


def test_a_database_that_goes_back_under_a_running_writer_stops_it(house):
    house.append(10)
    kept = copy_of(house)
    assert until(lambda: house.stack.healthy("eventlog"))
    house.append(10)
    restore(house, kept)                                    # when: the writer runs and remembers 20
    assert until(lambda: not house.stack.process("eventlog").alive())
    assert any("this process has stored 20 events and the database 10" in reason
               for reason in house.words_of("eventlog", "alarm"))


def test_a_cut_end_is_an_alarm_within_a_minute_and_repaired(house):
    house.append(60)
    witnessed(house, 60)
    before = house.log()
    house.stack.process("eventlog").stop()
    house.superuser("DELETE FROM eventlog.log WHERE position > 50; DELETE FROM eventlog.place WHERE position > 50;"
                    "DELETE FROM eventlog.root WHERE position >= 50; DELETE FROM eventlog.checkpoint;"
                    "UPDATE eventlog.head SET position = 0, root = sha256(''), frontier = '';"
                    "DELETE FROM eventlog.log; DELETE FROM eventlog.place; DELETE FROM eventlog.root")
    house.stack.start("eventlog")                           # when: the log is empty, and has forgotten that it was not
    assert until(lambda: not house.stack.process("eventlog").alive())
    assert any("positions 1 to 60 are lost" in reason for reason in house.words_of("eventlog", "alarm"))
    alarm(house, "silent")                                  # then
    assert repair(house).returncode == 0
    assert house.log() == before


def test_a_fork_is_an_alarm_and_the_position_is_told(house):
    house.append(60)
    witnessed(house, 60)
    log = house.stack.process("eventlog")
    log.stop()
    # A forger with all rights: event 41 is rewritten, and every hash after it, and every checkpoint is gone.
    house.superuser("UPDATE eventlog.log SET bytes = set_byte(bytes, 3, 57) WHERE position = 41;"
                    "UPDATE eventlog.log SET leaf = sha256('\\x00'::bytea || bytes) WHERE position = 41;"
                    "UPDATE eventlog.place p SET leaf = l.leaf FROM eventlog.log l WHERE l.position = p.position;"
                    "DELETE FROM eventlog.checkpoint; DELETE FROM eventlog.root")
    mend_head(house)
    house.stack.start("eventlog")                           # when
    assert until(lambda: not log.alive())
    assert any("the first 60 of the database are others" in reason for reason in house.words_of("eventlog", "alarm"))
    done = repair(house)                                    # then: told where, nothing changed
    assert done.returncode == 4 and '"position":41' in done.stdout, done.stdout + done.stderr


def mend_head(house):
    """Head and root of what stands now, as a forger would compute them."""
    leaves = [bytes.fromhex(row.split("\t")[5]) for row in house.log()]
    sizes = [1 << bit for bit in range(63, -1, -1) if len(leaves) & 1 << bit]
    frontier, at = b"", 0
    for size in sizes:
        frontier += verifier.tree_hash(leaves[at:at + size])
        at += size
    house.superuser(f"UPDATE eventlog.head SET root = '\\x{verifier.tree_hash(leaves).hex()}',"
                    f" frontier = '\\x{frontier.hex()}'")


def test_a_log_that_is_stopped_is_an_alarm_and_health_says_so(house):
    house.append(3)
    witnessed(house, 3)
    assert house.stack.healthy("witness")
    house.stack.process("eventlog").stop()
    alarm(house, "silent")
    assert not house.stack.healthy("witness")
    restart_log(house)
    assert until(lambda: house.stack.healthy("witness"))


def test_the_log_waits_for_its_witness(house):
    house.append(3)
    house.stack.process("witness").stop()
    house.stack.process("eventlog").stop()
    house.stack.start("eventlog")                           # when: nobody can say whether the database is the newest
    assert until(lambda: house.words_of("eventlog", "warn"), 20)
    assert not house.stack.healthy("eventlog")              # then
    house.stack.start("witness")
    assert until(lambda: house.stack.healthy("eventlog"))


def test_tiles_proofs_and_cosignatures_verify_with_the_public_keys_alone(house):
    for count in (1, 255, 1, 300):
        house.append(count)
    witnessed(house, 557)
    told = house.ask("witness.v1.GetCosignature", {"covers": "557"})
    checkpoint = verifier.Checkpoint(told["note"].encode(), key(house, "log"))
    assert checkpoint.size == 557 and checkpoint.note.verify(key(house, "witness")) > 0

    def tile(level, index, width):
        return base64.b64decode(house.ask("eventlog.v1.GetTile",
                                          {"level": level, "index": str(index), "width": width})["data"])

    def bundle(index, width):
        return base64.b64decode(house.ask("eventlog.v1.GetTile", {"index": str(index), "width": width,
                                                                  "entries": True})["data"])

    verifier.check_tiles(557, checkpoint.root, tile, bundle)
    for position in (1, 256, 257, 300, 557):
        proof = house.ask("eventlog.v1.GetInclusionProof", {"position": str(position), "size": "557"})
        verifier.check_inclusion(base64.b64decode(proof["leaf"]), position - 1, 557,
                                 [base64.b64decode(one) for one in proof["hashes"]], checkpoint.root)
    for row in house.rows("SELECT size, encode(convert_to(note, 'UTF8'), 'hex') FROM eventlog.checkpoint;"):
        size, note = row.split("\t")
        earlier = verifier.Checkpoint(bytes.fromhex(note), key(house, "log"))
        proof = house.ask("eventlog.v1.GetConsistencyProof", {"from": size, "to": "557"})
        verifier.check_consistency(earlier.size, earlier.root, 557, checkpoint.root,
                                   [base64.b64decode(one) for one in proof["hashes"]])


ROLES = ["tildel_" + name for name in stack.SCHEMAS] + ["tildel_auditor"]
STATEMENTS = ["UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {} CASCADE",
              "ALTER TABLE {} DISABLE TRIGGER ALL", "ALTER TABLE {} ADD COLUMN more int",
              "CREATE RULE gone AS ON INSERT TO {} DO INSTEAD NOTHING",
              "CREATE TRIGGER more AFTER INSERT ON {} EXECUTE FUNCTION eventlog.refuse_change()"]


def test_no_role_of_a_service_can_change_or_delete_anything_in_the_log(house):
    house.append(300)
    before = house.log()
    tables = house.rows("SELECT c.relname, min(a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND "
                        "attnum > 0 WHERE relnamespace = 'eventlog'::regnamespace AND relkind IN ('r', 'p') GROUP BY 1;")
    assert len(tables) >= 9, tables
    tried = 0
    for role in ROLES:
        connection = psycopg2.connect(house.stack.cluster.url(role))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            for table, column in (row.split("\t") for row in tables):
                for text in STATEMENTS:
                    # The head moves forward with every append, by the log's own role: that much it may.
                    if role == "tildel_eventlog" and table == "head" and text.startswith("UPDATE"):
                        text = "UPDATE {} SET position = position - 1"
                    with pytest.raises(psycopg2.Error):
                        cursor.execute(text.format(f"eventlog.{table}", column=column))
                    tried += 1
            for text in ("SET session_replication_role = replica", "SET ROLE tildel_owner",
                         "SELECT eventlog.seal('log_0')", "ALTER SCHEMA eventlog RENAME TO gone",
                         "UPDATE eventlog.head SET log_id = gen_random_uuid()",
                         "UPDATE eventlog.head SET epoch = epoch - 1"):
                with pytest.raises(psycopg2.Error):
                    cursor.execute(text)
        connection.close()
    assert tried == len(ROLES) * len(tables) * len(STATEMENTS)
    assert house.log() == before


def test_only_the_logs_own_role_can_add_to_it(house):
    house.append(3)
    for role in ROLES:
        if role == "tildel_eventlog":
            continue
        connection = psycopg2.connect(house.stack.cluster.url(role))
        connection.autocommit = True
        with connection.cursor() as cursor, pytest.raises(psycopg2.Error):
            cursor.execute("INSERT INTO eventlog.checkpoint VALUES (99, 'forged', 1)")
        connection.close()


def test_much_that_is_read_at_once_neither_ends_the_log_nor_keeps_appends_from_it(house):
    """Four hundred pages are asked for before one is taken: far more than the log's memory for one turn."""
    for _ in range(3):
        house.append(400)
    epoch = house.ask("eventlog.v1.GetHead")["epoch"]
    reader = house.clients["rehearsal"]
    query = contract.encode("eventlog.v1.Read", {"after": "0", "limit": 1000})
    ids = {str(uuid.uuid4()) for _ in range(400)}
    for id in ids:
        assert reader.send([reader.packet(id, "eventlog", "eventlog.v1.Read", "operator:OPERATOR", 60_000), query])
    house.append(1)
    end = time.monotonic() + 60
    while ids and time.monotonic() < end:
        packet, body = reader.receive(end - time.monotonic())
        if packet is not None and packet.WhichOneof("kind") == "reply" and packet.reply.id in ids:
            assert len(contract.decode("eventlog.v1.Page", body).entries) == 1000, packet.reply.reason
            ids.remove(packet.reply.id)
    assert not ids
    assert house.ask("eventlog.v1.GetHead")["epoch"] == epoch
