"""What is measured, how rounds alternate, and the table that comes of it."""

import json
import statistics
import sys


def say(line):
    print(line, file=sys.stderr, flush=True)


class Row:
    """One line of the table. better is "more" or "less"; of: what the target compares with, "limit", "peer" or "" (a
    figure of its own)."""
    def __init__(self,
                 name,
                 unit,
                 ours,
                 limit=None,
                 peer=None,
                 peer_name="",
                 target=None,
                 of="limit",
                 better="more",
                 note=""):
        self.name, self.unit = name, unit
        self.ours, self.limit, self.peer, self.peer_name = ours, limit, peer, peer_name
        self.target, self.of, self.better, self.note = target, of, better, note

    def ratio(self, other):
        if not other or not self.ours or not middle(other):
            return None
        return middle(self.ours) / middle(other)

    def other(self):
        """What the target compares with, a figure a round."""
        return {"limit": self.limit, "peer": self.peer, "": [1] * len(self.ours)}[self.of]

    @property
    def met(self):
        found = self.ratio(self.other())
        if self.target is None or found is None:
            return None
        return self.reaches(found)

    def reaches(self, found):
        return found >= self.target if self.better == "more" else found <= self.target

    @property
    def rounds_met(self):
        """In how many rounds, of how many. A verdict that not all rounds share is one that another run may turn."""
        if self.met is None:
            return None
        other = self.other()
        pairs = list(zip(self.ours, other)) if len(self.ours) == len(other) else [(middle(self.ours), middle(other))]
        return sum(self.reaches(ours / theirs) for ours, theirs in pairs if theirs), len(pairs)

    def verdict(self):
        if self.met is None:
            return "not measured" if self.target is not None else ""
        met, rounds = self.rounds_met
        verdict = "met" if self.met else "NOT MET"
        return f"{verdict}, {met} of {rounds} rounds met it" if 0 < met < rounds else verdict

    def target_text(self):
        if self.target is None:
            return ""
        sign = "≥" if self.better == "more" else "≤"
        of = {"limit": " × limit", "peer": f" × {self.peer_name}", "": f" {self.unit}"}[self.of]
        return f"{sign} {self.target:g}{of}"

    def as_json(self):
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": middle(self.ours) if self.ours else None,
            "limit": middle(self.limit) if self.limit else None,
            "peer": middle(self.peer) if self.peer else None,
            "ratio_to_limit": self.ratio(self.limit),
            "ratio_to_peer": self.ratio(self.peer),
            "target": self.target_text() or None,
            "met": self.met,
            "rounds_met": self.rounds_met,
            "peer_name": self.peer_name or None,
            "spread": {
                "ours": spread(self.ours),
                "limit": spread(self.limit),
                "peer": spread(self.peer)
            },
            "note": self.note or None
        }


def middle(values):
    return statistics.median(values)


def spread(values):
    if not values:
        return None
    return {"min": min(values), "max": max(values), "rounds": len(values)}


def alternate(what, rounds, **parts):
    """Measure the parts in turn, A B A B ..., one number each; a list of numbers a part. A part that is None, or that
    says by None that it cannot be measured here, gives an empty list."""
    found = {name: [] for name in parts}
    for number in range(rounds):
        for name, part in parts.items():
            value = part() if part else None
            if value is not None:
                found[name].append(value)
        say(f"  {what}, round {number + 1} of {rounds}: " +
            ", ".join(f"{name} {figure(values[-1:])}" for name, values in found.items() if values))
    return found


def figure(values):
    """A median with its spread, in few digits."""
    if not values:
        return "–"
    short = [
        f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"
        for value in (middle(values), min(values), max(values))
    ]
    return short[0] if len(values) == 1 else f"{short[0]} [{short[1]} – {short[2]}]"


def table(rows):
    head = ["what", "unit", "ours", "limit", "peer", "/limit", "/peer", "target", "verdict"]
    lines = [head]
    for row in rows:
        peer = f"{row.peer_name} {figure(row.peer)}" if row.peer_name else ""
        ratios = [
            f"{value:.2f}" if value is not None else ""
            for value in (row.ratio(row.limit), row.ratio(row.peer))
        ]
        lines.append([
            row.name, row.unit,
            figure(row.ours),
            figure(row.limit) if row.limit else "", peer, *ratios,
            row.target_text(),
            row.verdict()
        ])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    said = {}  # each note once, by the first that it is of
    for row in rows:
        if row.note:
            said.setdefault(row.note, row.name)
    notes = [f"{name}: {note}" for note, name in said.items()]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *([""] if notes else []), *notes])


def write_json(rows, path):
    with open(path, "w") as out:
        json.dump([row.as_json() for row in rows], out, indent=1, ensure_ascii=False)
        out.write("\n")
