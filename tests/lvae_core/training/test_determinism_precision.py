"""Same run, same bits, in bfloat16 and with few draws scored in full, too: closed or killed anywhere."""

import pytest

from lvae_core import rough_scoring
from lvae_core.config import RunConfig
from lvae_core.model.layers import precision
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from .. import tiny
from .test_determinism import CORPUS, finish, outcome, short, stop_after

BFLOAT16 = {"precision": "bfloat16", "eval_precision": "bfloat16"}
TWO_PHASE = {"iw_samples": 9, "iw_exact_samples": 6}

ROUGH_BFLOAT16 = TWO_PHASE | {"precision": "bfloat16"}

CASES = [
    pytest.param("lstm-vae", BFLOAT16, True, id="bfloat16", marks=pytest.mark.slow),
    pytest.param("lstm-vae", BFLOAT16, False, id="bfloat16, emulated"),
    pytest.param("lstm-vae", TWO_PHASE, False, id="two-phase"),
    pytest.param("lstm-vae-avg", ROUGH_BFLOAT16, True, id="rough in bfloat16", marks=pytest.mark.slow),
    pytest.param("lstm-vae-avg", ROUGH_BFLOAT16, False, id="rough in it, emulated"),
]


def two_epochs(system, fields) -> RunConfig:
    """Training, validation, training again: from one arithmetic to the other and back."""
    return short(system, max_epochs=2, **fields)


@pytest.fixture(autouse=True)
def _machine(monkeypatch, request):
    """Two words listed of six; a processor that multiplies bfloat16 or does not, as the case says."""
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 2)
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: request.getfixturevalue("real"))


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("system", "fields", "real"), CASES)
def test_closed_anywhere_and_resumed_is_the_same_run(system, fields, real, every, tmp_path):
    config = two_epochs(system, fields)
    whole = tiny.folder(tmp_path, "whole")
    yields = finish(config, whole)
    for k in range(1, yields, every):
        folder = tiny.folder(tmp_path, f"closed-{k}")
        assert not stop_after(k, config, folder)
        finish(config, folder)
        assert outcome(folder) == outcome(whole), k


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("system", "fields", "real"), CASES)
def test_killed_anywhere_and_resumed_is_the_same_run(system, fields, real, every, tmp_path):
    """A copy of the folder, taken in between, is what a process killed there leaves behind."""
    config, runtime = two_epochs(system, fields), Runtime(progress_seconds=0, checkpoint_seconds=0)
    whole = tiny.folder(tmp_path, "whole")
    copies = []
    for k, _ in enumerate(execute(config, CORPUS, whole, runtime)):
        copies.append(tiny.folder(tmp_path, f"killed-{k}"))
        for file in whole.store.names("whole"):
            copies[-1].store.write(f"killed-{k}/{file}", whole.store.read(f"whole/{file}"))
    for folder in copies[::every]:
        finish(config, folder, runtime)
        assert outcome(folder) == outcome(whole), folder.name


@pytest.mark.parametrize(("system", "fields", "real"), CASES)
def test_each_variant_computes_other_numbers(system, fields, real, tmp_path):
    """Check the premise: otherwise the tests above would only repeat those in float32 with full draws."""
    found = {}
    for name in fields.keys() & {"precision", "eval_precision", "iw_exact_samples"}:
        without = {field: value for field, value in fields.items() if field != name}
        for way, config in (("with", two_epochs(system, fields)), ("without", two_epochs(system, without))):
            folder = tiny.folder(tmp_path, f"{way}-{name}")
            finish(config, folder)
            found[way] = folder.read_json("result.json")["estimates"]["nll_iw"]["value"]
        assert found["with"] != found["without"], name
        assert found["with"] == pytest.approx(found["without"], rel=0.05)
