"""Studies of version 6, whose folders record fingerprints over fields that a system does not read."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import Runs, collect
from analysis.reading.sources import open_source
from analysis.stats.over_seeds import average_cells
from lvae_core.errors import InputError

from ...sweeps.planning.test_earlier_studies import FIXTURE, LM, LM_TWIN, VAE_12, write


def read(study: Path) -> Runs:
    return collect([open_source(str(study))])


def test_a_twin_that_differs_in_a_field_that_is_not_read_counts_once(tmp_path: Path) -> None:
    study = shutil.copytree(FIXTURE, tmp_path / "study")
    shutil.rmtree(study / VAE_12)
    runs = read(study)
    done = runs.frame[runs.frame["status"] == "done"]
    assert LM in set(done["run"])
    assert LM_TWIN not in set(done["run"])
    assert runs.duplicates == 1
    assert set(done["numerics"]) == {"current"}
    cells = {(cell.system, cell.setting): cell for cell in average_cells(runs.frame)}
    assert cells["lstm-lm", "standard"].variant == ""
    assert cells["lstm-lm", "standard"].counts.done == 1


def test_a_twin_with_other_numbers_is_refused(tmp_path: Path) -> None:
    study = shutil.copytree(FIXTURE, tmp_path / "study")
    result = json.loads((study / LM_TWIN / "result.json").read_text())
    del result["sha256"]
    result["estimates"]["nll"]["value"] += 1
    write(study / LM_TWIN / "result.json", result)
    with pytest.raises(InputError, match=r"nll is .* in .*57bdf510, but .* in .*821897e8"):
        read(study)


def test_fields_that_a_run_does_not_read_are_unknown_to_it(tmp_path: Path) -> None:
    study = shutil.copytree(FIXTURE, tmp_path / "study")
    shutil.rmtree(study / VAE_12)
    frame = read(study).frame.set_index("system")
    assert all(pd.isna(frame.loc["lstm-lm", name]) for name in ("latent_size", "kl_weight", "iw_samples"))
    assert frame.loc["lstm-vae", "latent_size"] == 2
    assert (
        frame.loc["lstm-vae", "share_embeddings"] is False or not frame.loc["lstm-vae", "share_embeddings"]
    )
    assert frame["adam_beta1"].isna().all()
