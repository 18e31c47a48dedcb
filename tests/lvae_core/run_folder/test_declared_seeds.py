"""A study declares its number of seeds once, and keeps how far it was at that time."""

import json
import re

import pytest

from lvae_core.errors import InputError
from lvae_core.run_folder.declared_seeds import (
    FILE,
    DeclaredSeeds,
    check_declared_seeds,
    declare_seeds,
    read_declared_seeds,
)
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.study import Study

RUN = "toy__lstm-lm__standard__L0__seed{}__0123abcd"


def test_a_declaration_is_written_once_and_read_back(tmp_path):
    study = Study(str(tmp_path / "study"))
    assert read_declared_seeds(study) is None
    declared = declare_seeds(study, 8)
    assert declared == read_declared_seeds(study)
    assert (declared.seeds, declared.finished_runs, declared.started_runs) == (8, 0, 0)
    assert re.fullmatch(
        r"declared 8 seeds before the first run \(\d{4}-\d\d-\d\d \d\d:\d\d UTC\)", declared.words
    )
    before = (tmp_path / "study" / FILE).read_bytes()
    assert declare_seeds(study, 8) == declared
    for change in (check_declared_seeds, declare_seeds):
        with pytest.raises(
            InputError, match=r"--declare-seeds 9: .* has declared 8 seeds .* never changed"
        ):
            change(study, 9)
    assert (tmp_path / "study" / FILE).read_bytes() == before


def test_a_file_in_the_place_of_a_study_has_no_declaration(tmp_path):
    (tmp_path / "file").touch()
    assert read_declared_seeds(Study(str(tmp_path / "file" / "study"))) is None


def test_a_declaration_keeps_how_many_runs_there_were(tmp_path):
    study = Study(str(tmp_path))
    (tmp_path / RUN.format(0)).mkdir()
    (tmp_path / RUN.format(1)).mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / RUN.format(0) / "result.json").write_text("{}")
    declared = declare_seeds(study, 3)
    assert (declared.finished_runs, declared.started_runs, declared.beforehand) == (1, 2, False)
    assert declared.words.startswith("declared 3 seeds after 1 run was finished (")


def test_runs_under_way_are_not_results():
    declared = DeclaredSeeds(1, "2026-11-28T14:03:59", 0, 2)
    assert declared.beforehand
    assert declared.words == (
        "declared 1 seed before the first result, when 2 runs were under way (2026-11-28 14:03 UTC)"
    )


@pytest.mark.parametrize("change", [{"seeds": 9}, {"finished_runs": None}])
def test_a_changed_declaration_is_damaged(change, tmp_path):
    study = Study(str(tmp_path))
    declare_seeds(study, 8)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**values, **change}))
    with pytest.raises(DamagedError, match=f"{FILE}: damaged"):
        read_declared_seeds(study)
