"""The auditor's package: made, opened, checked by us and by the verifier that is in it, and found out when changed."""

import base64
import contextlib
import hashlib
import io
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time

import psycopg2
import pytest

import console
import play
import test_money

VERIFIER = pathlib.Path(__file__).resolve().parents[2] / "services" / "console" / "package" / "verify.py"
SELECTIONS = {"all": [], "call": ["--call", play.MAIN], "case": ["--case"], "segment": ["--from", "100", "--to", "150"]}


@pytest.fixture(scope="module", params=SELECTIONS)
def package(request, undisturbed, tmp_path_factory):
    """Each kind of package, made once; and what tildel said of it."""
    path = tmp_path_factory.mktemp("package") / f"{request.param}.tar"
    words = list(SELECTIONS[request.param])
    if request.param == "case":
        words.append(undisturbed.stage.cases["stavanger"].id)
    told = console.told(undisturbed, "audit", "export", str(path), *words)
    return request.param, path, told


@pytest.fixture(scope="module")
def whole(undisturbed, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "all.tar"
    console.well(undisturbed, "audit", "export", str(path))
    return path


def ours(house, path, *words):
    """Checked by tildel, which needs no stack for it."""
    env = {name: value for name, value in house.stack.console_env().items() if not name.startswith(("BUS_", "MIG"))}
    return subprocess.run([house.stack.binary("console"), "verify", str(path), *words], env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)


def theirs(path, folder):
    """Checked by the verifier that is in the package, taken out of it as anybody would."""
    with tarfile.open(path) as archive:
        (folder / "verify.py").write_bytes(archive.extractfile("verify.py").read())
    return by_script(folder / "verify.py", path)


def by_script(script, path):
    return subprocess.run([sys.executable, "-I", "-B", str(script), str(path)], text=True, capture_output=True)


def members(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def rewrite(path, to, change, twice=()):
    """The same package with its members changed, some of them there twice, and with sums that agree again."""
    found = members(path)
    del found["SHA256SUMS"]
    found = change(found)
    pairs = [*found.items(), *((name, found[name]) for name in twice)]
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in pairs)
    with tarfile.open(to, "w") as archive:
        for name, data in [*pairs, ("SHA256SUMS", sums.encode())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return to


def test_a_package_is_verified_by_us_and_by_the_verifier_in_it(undisturbed, package, tmp_path):
    kind, path, told = package
    size, root = console.rows(undisturbed, "SELECT position, encode(root, 'hex') FROM eventlog.head")[0]
    assert (told["size"], told["root"]) == (size, root)
    for done in (ours(undisturbed, path), theirs(path, tmp_path)):
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"verified: {size} positions, {told['selected']} of them here" in done.stdout
        assert root in done.stdout
    selected = {"all": size, "segment": 51}.get(kind, told["selected"])
    assert told["selected"] == selected and (kind == "all" or selected < size)


def test_sha256sum_itself_agrees_with_the_sums(whole, tmp_path):
    with tarfile.open(whole) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_list_of_sums_that_lacks_a_member_or_has_one_too_many_is_told(undisturbed, whole, tmp_path):
    found = members(whole)
    sums, last = found.pop("SHA256SUMS"), "manifest.json"
    assert sums.endswith(f"  {last}\n".encode())
    for text, where in ((sums[:sums[:-1].rindex(b"\n") + 1], last), (sums + sums[-80:], "its end"), (b"", next(iter(found)))):
        with tarfile.open(tmp_path / "other.tar", "w") as archive:
            for name, data in (*found.items(), ("SHA256SUMS", text)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        done = ours(undisturbed, tmp_path / "other.tar")
        assert done.returncode == 4 and f"SHA256SUMS does not agree with {where}" in done.stderr, done.stderr


def test_without_room_for_the_hashes_there_is_no_package(undisturbed, whole, tmp_path):
    env = {"TMPDIR": "/there/is/no/such/folder"}
    for words in (("audit", "export", str(tmp_path / "none.tar")), ("verify", str(whole))):
        done = console.run(undisturbed, *words, env=env)
        assert done.returncode == 1 and "cannot be kept in TMPDIR or /tmp: No such file" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_selected_is_not_told(undisturbed, tmp_path):
    case = undisturbed.stage.cases["stavanger"]
    console.well(undisturbed, "audit", "export", str(tmp_path / "case.tar"), "--case", case.id)
    everything = b"".join(data for name, data in members(tmp_path / "case.tar").items()
                          if name not in ("FORMAT.md", "verify.py"))
    for other in undisturbed.stage.cases.values():
        assert other is case or other.content["title"].encode() not in everything, other.key
    assert case.content["title"].encode() in everything


def test_documents_are_what_was_delivered_and_sent(undisturbed, whole):
    found = members(whole)
    case = undisturbed.stage.cases["stavanger"]
    application, = [json.loads(data) for name, data in found.items()
                    if name.startswith("documents/") and name.endswith(f"-application-{case.id}.json")]
    assert application["title"] == case.content["title"]
    call, = [json.loads(data) for name, data in found.items() if name.endswith(f"-call-{play.MAIN}.json")]
    assert call["chapter_post"] == "671.62" and call["criteria"]
    assert json.loads(found["rules/rule_sets.json"])[0]["rule_set"] == "2024-1"


def test_a_package_is_opened(undisturbed, package):
    _, path, told = package
    text = console.well(undisturbed, "audit", "show", str(path))
    assert f"{told['selected']} events of {told['size']} are here" in text
    assert text.count("\r\n") == 0 or "position,event id,type" in text
    assert console.told(undisturbed, "audit", "show", str(path))["selected"] == told["selected"]


def test_any_byte_that_is_changed_is_found_by_both(undisturbed, whole, tmp_path):
    data = whole.read_bytes()
    with tarfile.open(whole) as archive:
        places = [(member.name, member.offset_data, member.size) for member in archive]
    chance = random.Random(9162)
    for _ in range(30):
        name, offset, size = chance.choice(places)
        at = offset + chance.randrange(size)
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        path = tmp_path / "changed.tar"
        path.write_bytes(changed)
        for done in (ours(undisturbed, path), by_script(VERIFIER, path)):
            assert done.returncode in (1, 4), (name, at - offset, done.stdout)
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def without_a_record(found):
    name = next(name for name in found if name.endswith(".records"))
    size = int.from_bytes(found[name][25:29], "big")
    return {**found, name: found[name][29 + size:]}


def with_other_bytes(found):
    name = next(name for name in found if name.endswith(".records"))
    data = bytearray(found[name])
    data[60] ^= 1
    return {**found, name: bytes(data)}


def with_another_document(found):
    name = next(name for name in found if name.startswith("documents/"))
    return {**found, name: found[name].replace(b'"title": "', b'"title": "Not ')}


def with_another_story(found):
    name = next(name for name in found if name.endswith(".csv"))
    return {**found, name: found[name].replace(b"imdi.budget.1", b"imdi.budget.2", 1)}


def without_a_document(found):
    name = next(name for name in found if name.startswith("documents/"))
    return {one: data for one, data in found.items() if one != name}


def telling(**claims):
    """With other claims in the manifest."""

    def change(found):
        return {**found, "manifest.json": json.dumps({**json.loads(found["manifest.json"]), **claims}).encode()}
    return change


@pytest.mark.parametrize("change, by_them", [
    (without_a_record, True), (with_other_bytes, True), (with_another_document, False),
    (with_another_story, False), (without_a_document, False), (telling(root="00" * 32), True),
    (telling(selected=7), True), (telling(documents=7), True), (telling(rehearsal=False), True),
    (telling(first=2), True), (telling(last=7), True), (telling(call=play.MAIN), True), (telling(case="nobody"), True),
    (telling(made_at_us=1718400000000000), True), (telling(made_at_us=1 << 62), True)])
def test_a_forgery_whose_sums_agree_is_found(undisturbed, whole, tmp_path, change, by_them):
    """The verifier in the package checks the log, not what was made from it for reading; tildel checks both."""
    path = rewrite(whole, tmp_path / "forged.tar", change)
    done = ours(undisturbed, path)
    assert done.returncode == 4 and len(done.stderr.strip().splitlines()) == 1, done.stdout + done.stderr
    if by_them:
        assert by_script(VERIFIER, path).returncode == 4


@pytest.mark.parametrize("other", [{"call": play.EXTRA}, {"call": ""}, {"call": "", "case": play.MAIN}])
def test_a_package_of_a_call_says_of_no_other(undisturbed, tmp_path, other):
    console.well(undisturbed, "audit", "export", str(tmp_path / "call.tar"), "--call", play.MAIN)
    path = rewrite(tmp_path / "call.tar", tmp_path / "forged.tar", telling(**other))
    for done in (ours(undisturbed, path), by_script(VERIFIER, path)):
        assert done.returncode == 4 and len(done.stderr.strip().splitlines()) == 1, done.stdout + done.stderr


def test_what_nothing_proves_is_shown_as_a_label(undisturbed, whole, tmp_path):
    path = rewrite(whole, tmp_path / "named.tar", telling(log_id="somebody-else"))
    assert "log_id somebody-else: a label that nothing here proves" in console.well(undisturbed, "audit", "show", str(path))
    told = console.told(undisturbed, "verify", str(path))
    assert told["log_id"] == "somebody-else" and told["unproved"] == ["log_id"]


def test_a_machine_whose_clock_is_behind_makes_no_package(undisturbed, tmp_path):
    behind = undisturbed.stack.binaries / "tests" / "evidence" / "libevidence_clock_behind.so"
    asan = undisturbed.stack.console_env().get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    done = console.refused(undisturbed, 1, "does this machine's clock go right? Nothing is exported", "audit", "export",
                           str(tmp_path / "x.tar"), env={"LD_PRELOAD": str(behind), "ASAN_OPTIONS": asan})
    assert "made at " in done.stderr and list(tmp_path.iterdir()) == []


def test_the_untouched_rewritten_package_is_well(undisturbed, whole, tmp_path):
    path = rewrite(whole, tmp_path / "same.tar", lambda found: found)
    assert ours(undisturbed, path).returncode == 0


@pytest.mark.parametrize("name", ["manifest.json", "log/checkpoint", "log/key", "verify.py"])
def test_a_member_that_is_there_twice_is_found(undisturbed, whole, tmp_path, name):
    """Who unpacks it sees the one or the other."""
    path = rewrite(whole, tmp_path / "twice.tar", lambda found: found, twice=[name])
    for done in (ours(undisturbed, path), by_script(VERIFIER, path)):
        assert done.returncode == 4 and "twice" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("damage", ["empty", "text", "half", "no end", "missing", "foreign tar"])
def test_what_is_no_package_is_one_sentence(undisturbed, whole, tmp_path, damage):
    path = tmp_path / "damaged.tar"
    data = whole.read_bytes()
    if damage == "half":
        path.write_bytes(data[:len(data) // 2])
    elif damage == "no end":
        found = members(whole)
        with tarfile.open(path, "w") as archive:
            for name in list(found)[:-1]:
                info = tarfile.TarInfo(name)
                info.size = len(found[name])
                archive.addfile(info, io.BytesIO(found[name]))
    elif damage == "foreign tar":
        with tarfile.open(path, "w") as archive:
            archive.add(__file__, "x.py")
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"not an archive at all\n" * 100)
    for words in (["verify"], ["audit", "show"]):
        console.refused(undisturbed, 1, "", *words, str(path))
    assert by_script(VERIFIER, path).returncode in (1, 4)


def test_nothing_is_overwritten(undisturbed, tmp_path):
    path = tmp_path / "there.tar"
    path.write_text("mine")
    console.refused(undisturbed, 1, "is there already; nothing is overwritten", "audit", "export", str(path))
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


def small_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_disk_that_is_full_leaves_nothing(undisturbed, tmp_path):
    console.refused(undisturbed, 1, "cannot be written", "audit", "export", str(tmp_path / "x.tar"),
                    preexec_fn=small_disk)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words, code, sentence", [
    (["--call", "nobody"], 1, "the log knows nothing of nobody"),
    (["--case", "nobody"], 1, "the log knows nothing of nobody"),
    (["--from", "0"], 2, "--from 0 is not a position"), (["--to", "99999999"], 2, "is not a position"),
    (["--from", "20", "--to", "10"], 2, "--from 20 comes after --to 10"),
    (["--call", "a", "--case", "b"], 2, "do not go together")])
def test_what_cannot_be_selected_is_told_and_leaves_nothing(undisturbed, tmp_path, words, code, sentence):
    console.refused(undisturbed, code, sentence, "audit", "export", str(tmp_path / "x.tar"), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(undisturbed, tmp_path):
    console.refused(undisturbed, 1, "cannot be made", "audit", "export", str(tmp_path / "no" / "x.tar"))


def test_a_log_that_was_changed_gives_no_package(undisturbed, tmp_path):
    with test_money.changed(undisturbed, "payment.v1.PaymentConfirmed", test_money.less_confirmed):
        console.refused(undisturbed, 4, "does not have the root that it has signed", "audit", "export",
                        str(tmp_path / "x.tar"))
    assert list(tmp_path.iterdir()) == []


def signed(found, key, root=None):
    """With a checkpoint over exactly what is there, by this key, as a log that signs would give."""
    manifest = json.loads(found["manifest.json"])
    root = base64.b64encode(root or bytes.fromhex(manifest["root"])).decode()
    text = f"tildel.test/log\n{manifest['size']}\n{root}\n"
    line = base64.b64encode(bytes.fromhex("01020304") + key.sign(text.encode())).decode()
    note = f"{text}\n\u2014 tildel.test/log {line}\n"
    texts = {name: data for name, data in found.items() if name in ("FORMAT.md", "verify.py")}
    return {**texts, **found, "log/checkpoint": note.encode(), "log/key": b"tildel.test/log+01020304+x\n"}


def key_text(key):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "tildel.test/log+01020304+" + base64.b64encode(b"\x01" + raw).decode()


def test_a_signed_checkpoint_must_be_of_the_tree_and_of_the_key(undisturbed, whole, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    path = rewrite(whole, tmp_path / "signed.tar", lambda found: signed(found, key))
    assert ours(undisturbed, path).returncode == 0
    good = subprocess.run([sys.executable, "-B", str(VERIFIER), str(path), key_text(key)], text=True,
                          capture_output=True)
    assert good.returncode == 0 and "is signed by tildel.test/log" in good.stdout, good.stdout + good.stderr
    bad = subprocess.run([sys.executable, "-B", str(VERIFIER), str(path), key_text(other)], text=True,
                         capture_output=True)
    assert bad.returncode == 4 and "does not verify" in bad.stderr, bad.stdout + bad.stderr
    forged = rewrite(whole, tmp_path / "forged.tar", lambda found: signed(found, key, root=b"\0" * 32))
    assert ours(undisturbed, forged).returncode == 4
    assert by_script(VERIFIER, forged).returncode == 4


def test_the_package_is_cosigned_by_the_witness_and_both_verifiers_can_tell(undisturbed, whole, tmp_path):
    pytest.importorskip("cryptography")
    keys = undisturbed.stack.folder / "keys"
    words = ["--key", str(keys / "log.pub"), "--witness", str(keys / "witness.pub")]
    texts = [(keys / name).read_text().strip() for name in ("log.pub", "witness.pub")]

    def uncosigned(found):
        note = found["log/checkpoint"].decode().splitlines(keepends=True)
        return {**found, "log/checkpoint": "".join(note[:-1]).encode()}

    done = ours(undisturbed, whole, *words)
    assert done.returncode == 0 and "signed by the log, and cosigned by the witness at" in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-B", str(VERIFIER), str(whole), *texts], text=True, capture_output=True)
    assert done.returncode == 0 and "is cosigned by " in done.stdout, done.stdout + done.stderr
    alone = rewrite(whole, tmp_path / "alone.tar", uncosigned)
    assert ours(undisturbed, alone, *words[:2]).returncode == 0
    assert ours(undisturbed, alone, *words).returncode == 4
    done = subprocess.run([sys.executable, "-B", str(VERIFIER), str(alone), *texts], text=True, capture_output=True)
    assert done.returncode == 4 and "is not signed by" in done.stderr, done.stdout + done.stderr


def signals_wait(pid):
    """Has it connected? From then on SIGTERM does not end it by itself."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("SigBlk:")[1].split()[0], 16) >> signal.SIGTERM - 1 & 1


def test_an_export_that_is_stopped_while_the_log_is_silent_says_so_and_leaves_nothing(undisturbed, tmp_path):
    log = undisturbed.stack.process("eventlog").pid()
    os.kill(log, signal.SIGSTOP)
    export = console.start(undisturbed, "audit", "export", str(tmp_path / "x.tar"))
    try:
        while not signals_wait(export.pid):
            time.sleep(0.01)
        export.send_signal(signal.SIGTERM)
        said, told = export.communicate(timeout=5)
    finally:
        os.kill(log, signal.SIGCONT)
        export.kill()
    assert export.returncode not in (0, -signal.SIGTERM) and said == ""
    assert told.startswith("tildel: stopped ") and told.count("\n") == 1, told
    assert list(tmp_path.iterdir()) == []


def test_a_verification_that_is_stopped_while_it_reads_says_so(undisturbed):
    with contextlib.closing(psycopg2.connect(undisturbed.stack.cluster.url("postgres"))) as connection:
        connection.cursor().execute("LOCK TABLE eventlog.log IN ACCESS EXCLUSIVE MODE")
        verify = console.start(undisturbed, "verify")
        try:
            while console.rows(undisturbed, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == []:
                time.sleep(0.01)
            verify.send_signal(signal.SIGTERM)
            said, told = verify.communicate(timeout=5)
        finally:
            verify.kill()
    assert (verify.returncode, said, told) == (1, "", "tildel: stopped while the log was read\n")
