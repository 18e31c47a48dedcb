"""Random command lines and damaged files: a known status, no traceback, no hang, nothing left behind."""

import logging
import os
import re
import time
from pathlib import Path

import pytest

from .fuzz import outcome
from .fuzz.fuzzer import Fuzzer
from .fuzz.options import NEVER_DRAWN, OPTIONS
from .fuzz.outcome import Outcome, call
from .fuzz.template import make_template

SEED = int(os.environ.get("LVAE_FUZZ_SEED", "1"))

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "files"
    make_template(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Keep the user's W&B key and caches out of reach, and let no case wait or measure for long."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("lvae_core.run_folder.claims.STALE_SECONDS", 1.0)
    monkeypatch.setattr("lvae_core.storage.retrying.RETRY_SECONDS", 1.0)
    monkeypatch.setattr("sweeps.planning.times.calibration.measure_rate", lambda *shape: 1e9)


def failures(template, place, seed: int, cases: int) -> list[str]:
    fuzzer = Fuzzer(template, seed)
    outcomes: list[Outcome] = [fuzzer.case(place / "case") for _ in range(cases)]
    for records in logging.getLogger("lvae").handlers:
        for record in getattr(records, "kept", []):
            record.expected = True
    return [str(outcome) for outcome in outcomes if outcome.complaint()]


@pytest.mark.filterwarnings("ignore")
def test_50_random_cases_end_with_a_line_and_a_known_status(template, tmp_path):
    found = failures(template, tmp_path, SEED, 50)
    assert not found, "\n---\n".join(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(10))
def test_500_random_cases_end_with_a_line_and_a_known_status(template, tmp_path, part):
    found = failures(template, tmp_path, 1000 * SEED + part, 50)
    assert not found, "\n---\n".join(found)


def documented_options() -> dict[str, set[str]]:
    """Command -> its options, by docs/reference.md, which tests/test_docs.py compares with the code."""
    found: dict[str, set[str]] = {}
    options: set[str] = set()
    for line in REFERENCE.read_text().splitlines():
        if heading := re.fullmatch(r"##+ `?([^`]*)`?", line):
            options = found.setdefault(heading[1], set())
        elif row := re.match(r"\| `(--.*?)` \|", line):
            options.update(re.findall(r"--[\w-]+", row[1]))
    return {name: options for name, options in found.items() if options}


def test_every_option_of_every_command_is_drawn_or_left_out_for_a_reason():
    drawn = {
        name: {*OPTIONS.get(name, ()), *NEVER_DRAWN.get(name, ())} for name in OPTIONS.keys() | NEVER_DRAWN
    }
    assert drawn == documented_options()
    assert not [name for name in OPTIONS if OPTIONS[name].keys() & NEVER_DRAWN.get(name, {}).keys()]


def test_a_command_that_hangs_is_interrupted_and_reported_with_its_case(tmp_path, monkeypatch):
    def hang(arguments: list[str]) -> None:
        while True:
            time.sleep(0.01)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outcome, "LIMIT_SECONDS", 0.2)
    found = call("a case", hang, ["--option"])
    assert found.complaint() == "status 'a hang'"
    assert "a case: ['--option']" in str(found)
    assert "time.sleep(0.01)" in str(found), "the place where it hung"
