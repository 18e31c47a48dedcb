"""The benchmark of huge pages measures what it says, in a process of its own for each kind."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import huge_pages


def test_a_table_has_the_ratio_of_each_case(monkeypatch, capsys):
    rates = {"": ("120", "130"), ",without": ("60", "50")}
    calls = []

    def run(command, **options):
        kind = command[-1]
        calls.append(kind)
        without = ",without" if kind.endswith(",without") else ""
        return subprocess.CompletedProcess(
            command, 0, stdout=rates[without][calls.count(kind) - 1].encode()
        )

    monkeypatch.setattr(huge_pages, "subprocess", SimpleNamespace(run=run))
    huge_pages.main(pairs=2)
    out = capsys.readouterr().out
    assert out.count("2.27") == len(huge_pages.CASES)  # 125 / 55
    assert calls[:4] == ["ptb/lstm-lm/standard", "ptb/lstm-lm/standard,without"] * 2


def test_a_rate_is_that_of_real_steps(monkeypatch):
    monkeypatch.setattr(huge_pages, "_WARM_UP", 0)
    monkeypatch.setattr(huge_pages, "_SECONDS", 0.01)
    assert huge_pages.rate("ptb/lstm-lm/standard", 1, huge=True) > 0
