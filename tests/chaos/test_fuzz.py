"""Random command lines and damaged files: a known status, no traceback, no hang, nothing left behind."""

import logging
import os

import pytest

from .fuzz.fuzzer import Fuzzer, make_template
from .fuzz.outcome import Outcome

SEED = int(os.environ.get("LVAE_FUZZ_SEED", "1"))

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "files"
    make_template(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Keep the user's W&B key and caches out of reach; the cases expect warnings of all kinds."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("lvae_core.run_folder.claims.STALE_SECONDS", 1.0)
    monkeypatch.setattr("lvae_core.storage.retrying.RETRY_SECONDS", 1.0)


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
