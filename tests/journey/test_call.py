"""The golden journey: a real call from announcement to audited accounts, by a client written from proto/ alone."""

import play


def test_a_call_goes_from_announcement_to_audited_accounts(undisturbed):
    call = undisturbed.stage.does(play.AUDITOR, "reporting.v1.GetCall", call_id=play.EXTRA)
    assert int(call["frame_ore"]) == 700_000_000
    assert int(call["awarded_ore"]) + int(call["residual_ore"]) == 700_000_000
    assert call["paid_ore"] == call["awarded_ore"]
    assert call["claimed_ore"] == call["repaid_ore"] == "12000000"


def test_an_idle_house_is_quiet_and_small(undisturbed):
    """Under one percent of a core for the whole stack in two seconds; sanitizers' memory is not ours to judge."""
    import os
    import pathlib
    import time

    names = ["broker", "eventlog", *undisturbed.stack.everyone()[2:9]]
    pids = [undisturbed.stack.process(name).pid() for name in names]

    def ticks():
        return sum(sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) for pid in pids)

    undisturbed.stage.quiet()
    before = ticks()
    time.sleep(4)
    used_s = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    # Sanitized builds cost three to five times as much as released ones, and a busy machine's clock is coarse.
    assert used_s < 4 * 0.05, f"{used_s:.2f} s of processor time in 4 s"
