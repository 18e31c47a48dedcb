"""The Python API, its notebook and its document."""

import json
import logging
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import analysis
import lvae_core
from lvae_core.run_folder.claims import acquire
from lvae_core.run_folder.evaluations import is_evaluation
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Progress

from .logs import expect_log
from .test_imports import loaded_by

DOCS = Path(__file__).parent.parent / "docs"


def small(system: str = "lstm-vae", **fields: Any) -> lvae_core.RunConfig:
    config = lvae_core.recipe(system, dataset="toy", num_samples=2)
    return replace(config, **{"max_epochs": 2, "iw_samples": 6, "mi_samples": 2, **fields})


class StopError(Exception):
    """Of a callback."""


def stop(progress: Progress) -> None:
    """End a run after its first epoch."""
    if progress.epoch:
        raise StopError


def code_cells() -> list[str]:
    notebook = json.loads((DOCS / "api.ipynb").read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "commit it without outputs"
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in code_cells():
        exec(cell, names)
    assert set(names["runs"]["status"]) == {"done"}
    assert len(names["runs"]) == 6
    means = names["means"].set_index(["system", "estimate"])
    of_lm = [lvae_core.load(f"runs/api/lstm-lm-{seed}").estimates["nll"]["value"] for seed in range(3)]
    assert means.loc[("lstm-lm", "nll"), "mean"] == pytest.approx(sum(of_lm) / 3)
    assert means.loc[("lstm-lm", "nll"), "bound"] == "exact"
    assert means.loc[("lstm-lm", "nll"), "values"] == pytest.approx(tuple(of_lm))
    assert set(names["compared"]["verdict"]) == {"undecided: collapsed"}
    assert list(names["curves"].groupby("run").size()) == [3] * 6
    of_averaged = {name: names["estimates"][name]["bound"] for name in ("nll_iw", "nll_iw_joint")}
    assert of_averaged == {"nll_iw": "not a bound", "nll_iw_joint": "upper bound in expectation"}


def test_the_document_names_every_function_of_the_api() -> None:
    text = (DOCS / "api.md").read_text()
    for package in (lvae_core, analysis):
        for name in package.__all__:
            assert re.search(rf"`[^`]*\b{name}\b|^    .*\b{name}\b", text, re.MULTILINE), name
            assert callable(getattr(package, name)) or name == "SYSTEMS"
            assert name in dir(package)


def test_importing_a_package_loads_no_library() -> None:
    packages, names = loaded_by(
        "import lvae_core, analysis", "from analysis import read_runs, read_curves, cells, comparisons"
    )
    assert packages & {"torch", "numpy", "pandas", "ray"} == set()
    assert "torch" not in names


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    for package in (lvae_core, analysis):
        with pytest.raises(AttributeError, match="has no attribute 'trian'"):
            package.trian  # noqa: B018


def test_training_through_the_api_gives_the_numbers_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lvae_core.__main__ import main

    (tmp_path / "run.json").write_text(json.dumps(small().to_dict()))
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "a")]) == 0
    run = lvae_core.train(small(), tmp_path / "b")
    assert run.estimates == lvae_core.load(tmp_path / "a").estimates != {}
    assert run.metrics == lvae_core.load(tmp_path / "a").metrics
    assert main(["evaluate", str(tmp_path / "a"), "--set", "iw_samples=7"]) == 0
    capsys.readouterr()
    before = run.estimates
    assert lvae_core.evaluate(tmp_path / "a", iw_samples=7) == lvae_core.evaluate(run, iw_samples=7)
    assert run.estimates == before, "another evaluation changes no result"


@pytest.mark.parametrize("system", ["lstm-lm", "lstm-vae", "lstm-vae-avg"])
def test_estimates_say_how_they_bound_the_likelihood_as_the_command_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], system: str
) -> None:
    from lvae_core.__main__ import main

    run = lvae_core.train(small(system, max_epochs=1), tmp_path / "run")
    written = (tmp_path / "run" / "result.json").read_bytes()
    found = [run.estimates]
    if system != "lstm-lm":  # nothing of an exact likelihood can be evaluated with other fields
        found.append(lvae_core.evaluate(run, iw_samples=7))
        assert main(["evaluate", str(tmp_path / "run"), "--set", "iw_samples=7"]) == 0
        printed = dict(re.findall(r"^  (\S+) +[-\d.]+(?: ± [\d.]+)? *(.*)$", capsys.readouterr().out, re.M))
        assert printed.keys() == found[-1].keys()
        for name, estimate in found[-1].items():
            bounds = [note for note in printed[name].split(", ") if note == "exact" or "bound" in note]
            assert bounds == ([estimate["bound"]] if "bound" in estimate else []), name
    for estimates in found:
        assert {name for name in estimates if "bound" not in estimates[name]} <= {"kl", "mi", "au"}
    main_one = "nll" if system == "lstm-lm" else "nll_iw"
    assert {estimates[main_one]["bound"] for estimates in found} == {
        {"lstm-lm": "exact", "lstm-vae": "upper bound in expectation", "lstm-vae-avg": "not a bound"}[
            system
        ]
    }
    if system == "lstm-vae-avg":
        assert found[-1]["nll_joint"]["bound"] == "upper bound"
        assert found[-1]["nll_iw_joint"]["bound"] == "upper bound in expectation"
    # The files keep their form.
    assert (tmp_path / "run" / "result.json").read_bytes() == written
    for file in (tmp_path / "run").glob("*.json"):
        assert '"bound"' not in file.read_text()
    assert run.result
    assert not any("bound" in estimate for estimate in run.result["estimates"].values())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder whose validation and test text have words that its training text never has."""
    path = tmp_path / "mine"
    path.mkdir()
    for split, text in {"train": "a b a\nc a\nb\n", "valid": "new b a\n", "test": "b newer\n"}.items():
        (path / f"{split}.txt").write_text(text)
    return path


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (("lstm-vae",), {}),
        (("lstm-vae", "--set", "min_count=1"), {"min_count": 1}),
        (("lstm-lm", "--set", "max_vocabulary=3"), {"max_vocabulary": 3}),
        (("lstm-vae-avg", "--num-samples", "3", "--seed", "4"), {"num_samples": 3, "seed": 4}),
        (
            ("cnn-vae", "--protocol", "original", "--setting", "inputless"),
            {"protocol": "original", "setting": "inputless"},
        ),
    ],
)
def test_python_and_the_command_make_the_same_config_of_a_folder(
    corpus: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], changes: dict[str, Any]
) -> None:
    from lvae_core.__main__ import main

    assert main(["recipe", *words, "--dataset", str(corpus)]) == 0
    config = lvae_core.recipe(words[0], dataset=corpus, **changes)
    assert config.to_dict() == json.loads(capsys.readouterr().out)
    assert config.min_count == (1 if {"min_count", "max_vocabulary"} & changes.keys() else 2)


def test_a_recipe_of_a_folder_in_data_dir_reads_it_and_one_of_no_folder_warns(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert lvae_core.recipe("lstm-lm", dataset="mine", data_dir=corpus.parent).min_count == 2
    caplog.clear()
    assert lvae_core.recipe("lstm-lm", dataset="no/mine").min_count == 1
    (line,) = caplog.messages
    assert "no such folder" in line
    assert "until then nothing chooses min_count, which is 1" in line
    with pytest.raises(lvae_core.InputError, match="unknown dataset 'toyy': did you mean 'toy'"):
        lvae_core.recipe("lstm-lm", dataset="toyy")


def test_a_recipe_warns_that_the_text_chose_min_count_and_the_command_notes_it(
    corpus: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    from lvae_core.__main__ import main

    assert lvae_core.recipe("lstm-vae", dataset=corpus).min_count == 2
    choice = "min_count = 2, so that training shows the unknown word more often"
    assert caplog.record_tuples == [
        ("lvae.data", logging.WARNING, f"{choice}; min_count=1 keeps every word")
    ]
    caplog.clear()
    assert lvae_core.recipe("lstm-vae", dataset=corpus, min_count=1).min_count == 1
    assert lvae_core.recipe("lstm-vae", dataset="pydocs").min_count == 2  # its recipe says so, not its text
    assert caplog.messages == []
    assert main(["recipe", "lstm-vae", "--dataset", str(corpus)]) == 0
    assert capsys.readouterr().err == f"note: {choice}\n"


def test_a_warning_about_data_comes_once_and_names_no_option(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = lvae_core.recipe("lstm-lm", dataset=corpus, min_count=1, hidden_size=2, max_epochs=1)
    for out in ("a", "b"):
        lvae_core.train(config, corpus.parent / out)
    (line,) = [message for message in caplog.messages if "training never has" in message]
    assert "; min_count=2 lets the rarest words of training be unknown, too" in line
    assert "--" not in line


def test_ctrl_c_saves_the_run_and_the_same_call_resumes_it_to_the_same_bits(tmp_path: Path) -> None:
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="do the same again to resume it"):
        lvae_core.train(small(), tmp_path / "a", progress=interrupt)
    assert lvae_core.load(tmp_path / "a").result is None
    resumed = lvae_core.train(small(), tmp_path / "a")
    assert resumed.estimates == lvae_core.train(small(), tmp_path / "b").estimates


def test_training_works_in_a_thread(tmp_path: Path) -> None:
    thread = threading.Thread(target=lvae_core.train, args=(small(max_epochs=1), tmp_path / "a"))
    thread.start()
    thread.join()
    assert lvae_core.load(tmp_path / "a").result is not None


def test_a_diverged_run_raises_and_leaves_its_failure(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        lvae_core.train(small("lstm-lm", learning_rate=1e9, max_grad_norm=0.0), tmp_path / "a")
    assert json.loads((tmp_path / "a" / "failure.json").read_text())["class"] == "diverged"


def test_bad_input_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    run = lvae_core.train(small(), tmp_path / "run")
    assert repr(run) == f"Run('{tmp_path}/run': toy, lstm-vae, standard, L2, seed 0)"
    study = tmp_path / "study"
    (study / "toy__lstm-vae__standard__L2__seed0__00000000").mkdir(parents=True)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.txt").touch()
    for call, message in (
        (lambda: lvae_core.load(tmp_path / "none"), r"none: no run folder; make one with train"),
        (lambda: lvae_core.train(small(), tmp_path / "x", threads=0), "threads = 0: must be at least 1"),
        (lambda: lvae_core.train(small(), tmp_path / "x", device="gpu"), "not usable here"),
        (lambda: lvae_core.evaluate(run, dropout=0.1), "dropout: not a field that the estimates"),
        (lambda: lvae_core.generate(run, 0), "count = 0: must be at least 1"),
        (
            lambda: lvae_core.generate(run, 1, beams=3),
            "beams: no option of decoding; choose from",
        ),
        (
            lambda: lvae_core.generate(run, 1, method="foo"),
            "unknown method of decoding 'foo': choose from greedy",
        ),
        (
            lambda: lvae_core.reconstruct(run, "ash bay"),
            r"texts = 'ash bay': give a list of sentences, \['ash bay'\]",
        ),
        (lambda: lvae_core.generate(run, 1, temperature=0), "temperature = 0: must be from 1e-30"),
        (
            lambda: lvae_core.generate(run, 3, method="beam", temperature=2),
            'temperature = 2: method="beam" does not read it; give method="sample"',
        ),
        (
            lambda: lvae_core.reconstruct(run, ["ash bay"], beam_width=3),
            'beam_width = 3: method="greedy" does not read it; give method="beam"',
        ),
        (lambda: lvae_core.recipe("lstm-lm", dataset="tyo", latent_size=4), "did you mean 'toy'"),
        (lambda: lvae_core.recipe("lstm-vea"), "did you mean 'lstm-vae'"),
        (
            lambda: lvae_core.recipe("lstm-vae", dataset="toy", averaging="hidden"),
            "turns lstm-vae into lstm-vae-avg, .*; use the recipe of lstm-vae-avg",
        ),
        (
            lambda: lvae_core.train(small(averaging="hidden"), tmp_path / "x"),
            "turns lstm-vae into lstm-vae-avg",
        ),
        (lambda: lvae_core.train(small(), study), "study: a study, with run folders in it; give .*/my-run"),
        (lambda: lvae_core.train(small(), corpus), "corpus: a dataset, with train.txt in it; give a new"),
        (lambda: analysis.read_runs(tmp_path / "none"), "there is no such study"),
        (lambda: analysis.read_runs(tmp_path, evaluation={"dropout": 1}), "not a field of evaluation"),
    ):
        with pytest.raises(lvae_core.InputError, match=message):
            call()
    assert not (tmp_path / "x").exists()
    wrong: Any
    for wrong, message in (  # the types of arguments
        (lambda: lvae_core.recipe(5), "unknown system 5: choose|unknown system 5: did"),
        (lambda: lvae_core.recipe("lstm-lm", dataset=["toy"]), r"dataset = \['toy'\]: must be a dataset's"),
        (lambda: lvae_core.recipe("lstm-lm", num_samples="5"), "num_samples = '5': must be a whole number"),
        (lambda: lvae_core.recipe("lstm-lm", seed="5"), "seed = '5': must be a whole number"),
        (
            lambda: lvae_core.recipe("lstm-lm", num_samples=True),
            "num_samples = True: must be a whole number",
        ),
        (lambda: lvae_core.recipe("lstm-lm", dataset="mine", data_dir=5), "data_dir = 5: must be the path"),
        (lambda: lvae_core.describe("mine", data_dir=7), "data_dir = 7: must be the path of a folder"),
        (lambda: lvae_core.recipe("lstm-lm", protocol=1), "unknown protocol 1: choose from matched"),
        (lambda: lvae_core.recipe("lstm-lm", latent_size=3), "latent_size: lstm-lm has no latent_size"),
        (
            lambda: lvae_core.recipe("lstm-vae", lr=1.0),
            r"unknown config field 'lr': did you mean 'learning_rate'\?",
        ),
        (lambda: lvae_core.describe(None), "dataset = None: must be a dataset's name or a folder"),
        (
            lambda: lvae_core.train(small().to_dict(), tmp_path / "x"),
            r"config = \{.*: must be a RunConfig, s",
        ),
        (lambda: lvae_core.train("lstm-vae", tmp_path / "x"), "config = 'lstm-vae': must be a RunConfig"),
        (lambda: lvae_core.train(small(), 3), "out = 3: must be the path or URL of a run folder"),
        (
            lambda: lvae_core.train(small(), tmp_path / "x", threads="two"),
            "threads = 'two': must be a whole",
        ),
        (lambda: lvae_core.train(small(), tmp_path / "x", threads=True), "threads = True: must be a"),
        (lambda: lvae_core.train(small(), tmp_path / "x", device=0), "device = 0: must be a name"),
        (
            lambda: lvae_core.train(small(), tmp_path / "x", checkpoint_minutes="1"),
            "checkpoint_minutes = '1': must be a number",
        ),
        (lambda: lvae_core.train(small(), tmp_path / "x", data_dir=1), "data_dir = 1: must be the path"),
        (lambda: lvae_core.train(small(), tmp_path / "x", progress=1), "progress = 1: must be a function"),
        (lambda: lvae_core.load(None), "out = None: must be the path or URL"),
        (lambda: lvae_core.evaluate(run.config), r"run = RunConfig\(.*: must be a Run, as train"),
        (lambda: lvae_core.evaluate(run, iw_samples="9"), "iw_samples = '9': must be a whole number"),
        (lambda: lvae_core.generate(run, 2.5), "count = 2.5: must be a whole number"),
        (lambda: lvae_core.generate(run, seed=-3), "seed = -3: must be at least 0"),
        (lambda: lvae_core.generate(run, beam_width="5"), "beam_width = '5': must be a whole number"),
        (lambda: lvae_core.generate(run, temperature="1"), "temperature = '1': must be a number"),
        (lambda: lvae_core.reconstruct(run, [1, 2]), r"texts\[0\] = 1: must be a sentence"),
        (lambda: lvae_core.reconstruct(run, 3), "texts = 3: must be a list of sentences"),
        (lambda: lvae_core.interpolate(run, "ash", None), "last = None: must be a sentence"),
        (lambda: analysis.read_runs(3), "study = 3: must be a path or URL"),
        (lambda: analysis.read_curves([tmp_path]), "study = .*: must be a path or URL; give several as"),
        (lambda: analysis.read_runs(tmp_path, evaluation="iw"), "evaluation = 'iw': must be a dictionary"),
        (lambda: analysis.comparisons("runs/mine"), "runs = 'runs/mine': must be a frame"),
        (
            lambda: analysis.comparisons(analysis.read_runs(), baseline=[5]),
            "baseline = 5: must be a list of texts",
        ),
        (
            lambda: analysis.comparisons(analysis.read_runs(), baseline=["seed=1", "seed=2"]),
            "--baseline seed=2: seed is given twice; give it once",
        ),
        (lambda: analysis.cells(analysis.read_runs().drop(columns="seed")), "runs: no column 'seed'; give"),
    ):
        with pytest.raises(lvae_core.InputError, match=f"^{message}") as caught:
            wrong()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_numbers_of_numpy_are_taken_for_those_of_python(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "num_samples": 2,
        "seed": 3,
        "hidden_size": 4,
        "iw_samples": 4,
        "mi_samples": 2,
    }
    fields |= {"max_epochs": 1, "iw_exact_samples": 0}
    plain = lvae_core.recipe("lstm-vae", dataset="toy", learning_rate=0.5, **fields)
    numbers = {name: np.int64(value) for name, value in fields.items()}
    config = lvae_core.recipe("lstm-vae", dataset="toy", learning_rate=np.float64(0.5), **numbers)
    assert json.dumps(config.to_dict()) == json.dumps(plain.to_dict())
    run = lvae_core.train(config, tmp_path / "run", threads=np.int64(1))
    assert lvae_core.evaluate(run, iw_samples=np.int64(5)) == lvae_core.evaluate(run, iw_samples=5)
    wanted = lvae_core.generate(run, 2, method="sample", seed=7, max_length=9)
    assert wanted == lvae_core.generate(
        run, np.int64(2), method="sample", seed=np.int64(7), max_length=np.int32(9)
    )
    assert len(lvae_core.interpolate(run, "ash", "bay", np.int64(3))) == 3
    with pytest.raises(lvae_core.InputError, match=r"^num_samples = .*2\.0.*: must be a whole number"):
        lvae_core.recipe("lstm-vae", num_samples=np.float64(2))  # type: ignore[arg-type]
    with pytest.raises(lvae_core.InputError, match=r"^hidden_size = .*: must be a whole number"):
        lvae_core.recipe("lstm-vae", hidden_size=np.True_)


def test_a_run_that_another_process_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lvae_core.train(small(), tmp_path / "run")
    # The real function waits a minute for the other process to end.
    monkeypatch.setattr(
        "lvae_core.training.carry_out.acquire_patiently",
        lambda folder, launch, say: acquire(folder, launch),
    )
    with acquire(run.folder, "another launch"), pytest.raises(lvae_core.InputError, match="give another"):
        lvae_core.evaluate(run, iw_samples=9)


def test_a_damaged_evaluation_is_computed_again_and_stops_no_other_one(tmp_path: Path) -> None:
    run = lvae_core.train(small(), tmp_path / "run")
    wanted = {n: lvae_core.evaluate(run, iw_samples=n) for n in (7, 8)}
    for file in run.folder.store.names("run"):
        if is_evaluation(file):
            run.folder.store.write(f"run/{file}", b"{")
    for number in wanted:
        with expect_log("lvae.run_folder", "damaged, .*set aside as evaluation-"):
            assert lvae_core.evaluate(run, iw_samples=number) == wanted[number]


def test_training_with_other_fields_of_evaluation_than_a_finished_run_warns(tmp_path: Path) -> None:
    lvae_core.train(small(), tmp_path / "run")
    with expect_log("lvae.run_folder", r"other values than iw_samples=9; evaluate\(run, iw_samples=9\)"):
        run = lvae_core.train(small(iw_samples=9), tmp_path / "run")
    assert run.config.iw_samples == 6
    assert lvae_core.evaluate(run) == run.estimates


def test_a_run_resumed_with_other_fields_of_evaluation_has_the_config_of_its_estimates(
    tmp_path: Path,
) -> None:
    with pytest.raises(StopError):
        lvae_core.train(small(), tmp_path / "run", progress=stop)
    run = lvae_core.train(small(iw_samples=9), tmp_path / "run")
    assert run.config.iw_samples == 9
    assert lvae_core.evaluate(run) == run.estimates
    assert lvae_core.load(tmp_path / "run").config == run.config


def test_the_model_of_an_unfinished_run_is_read_again_as_it_is_trained_further(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        lvae_core.train(small(max_epochs=4), tmp_path / "run", progress=stop)
    run = lvae_core.load(tmp_path / "run")
    before = run.trained.model.state_dict()
    lvae_core.train(small(max_epochs=4), tmp_path / "run")
    after = run.trained.model.state_dict()
    now = lvae_core.load(tmp_path / "run").trained.model.state_dict()
    assert all(torch.equal(after[name], now[name]) for name in now)
    assert not all(torch.equal(after[name], before[name]) for name in now)
    assert run.trained is run.trained, "a finished run is read once"
