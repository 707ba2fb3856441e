"""A verification that goes on from a checkpoint that was kept: what it covers is not read again, and must be there."""

import console
import play
import test_money


def kept(house, folder, covers):
    note = house.stage.does(play.AUDITOR, "eventlog.v1.GetCheckpoint", covers=str(covers))
    path = folder / "kept.note"
    path.write_text(note["note"])
    return str(path), int(note["size"])


def test_only_what_came_after_a_kept_checkpoint_is_read(undisturbed, tmp_path):
    whole = console.told(undisturbed, "verify")
    for covers in (1, 60, 300, whole["events"]):
        path, size = kept(undisturbed, tmp_path, covers)
        told = console.told(undisturbed, "verify", "--since", path)
        assert (told["since"], told["events"], told["root"]) == (size, whole["events"], whole["root"])
        assert told["checkpoints"] == whole["checkpoints"] - sum(
            1 for at, in console.rows(undisturbed, "SELECT size FROM eventlog.checkpoint") if at <= size)


def test_a_checkpoint_of_now_is_written_and_gone_on_from(undisturbed, tmp_path):
    path = tmp_path / "now.note"
    path.write_text(console.well(undisturbed, "log", "checkpoint"))
    told = console.told(undisturbed, "verify", "--since", str(path))
    assert told["since"] == told["events"]


def test_what_was_changed_after_the_checkpoint_is_found(undisturbed, tmp_path):
    with test_money.changed(undisturbed, "payment.v1.PaymentConfirmed", test_money.less_confirmed) as position:
        # The first checkpoint: the first append is signed at once. How far a later one reaches depends on the machine.
        path, size = kept(undisturbed, tmp_path, 1)
        assert size < position
        console.refused(undisturbed, 4, "position", "verify", "--since", path)


def test_a_log_that_does_not_begin_as_the_checkpoint_says_is_found(undisturbed, tmp_path):
    path, size = kept(undisturbed, tmp_path, 300)
    flip = ("SET session_replication_role = replica; "
            "UPDATE eventlog.tile SET root = set_byte(root, 3, get_byte(root, 3) # 1) WHERE level = 0 AND index = 0")
    console.rows(undisturbed, flip)
    try:
        console.refused(undisturbed, 4, f"position {size}: the log's tiles do not lead to the root", "verify", "--since",
                        path)
    finally:
        console.rows(undisturbed, flip)


def test_what_is_no_checkpoint_of_this_log_is_told(undisturbed, tmp_path):
    path, _ = kept(undisturbed, tmp_path, 60)
    text = open(path).read()
    lines = text.splitlines(keepends=True)
    wrong = tmp_path / "wrong.note"
    for change in ("", text[:-20], text.replace(lines[1], f"{int(lines[1]) + 1}\n", 1),
                   text.replace(lines[0], "other/log\n", 1)):
        wrong.write_text(change)
        console.refused(undisturbed, 1, "is no checkpoint of this log", "verify", "--since", str(wrong))
    console.refused(undisturbed, 1, "cannot open", "verify", "--since", str(tmp_path / "none"))
