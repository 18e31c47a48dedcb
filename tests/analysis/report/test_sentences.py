"""Sentences of a real run, which is trained for a few steps on the toy corpus."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.figures.pictures import Pictures
from analysis.formats.page.page import report_page
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.report.sentences import COUNT, Best, Sentences, best_runs, sentences
from analysis.stats.over_seeds import average_cells
from lvae_core.systems import recipe

from ...commands import python
from ..conftest import WriteRun


def made_from(study: Path, cache: Path | None = None, dataset: str = "toy") -> list[Sentences]:
    frame = collect([open_source(str(study))]).frame
    cells = average_cells(frame)
    return sentences(best_runs(cells, dataset), frame, cache=cache)


def core(*arguments: str) -> bytes:
    command = [*python(), "-m", "lvae_core", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=240).stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("trained")
    config = replace(
        recipe("lstm-vae", dataset="toy"), max_steps=3, max_epochs=1, iw_samples=2, mi_samples=2
    )
    config = replace(config, iw_exact_samples=0)
    (study / "run.json").write_text(json.dumps(config.to_dict()))
    core("run", str(study / "run.json"), "--out", str(study / "run"))
    return study


def test_sentences_equal_those_of_generate_and_are_cached(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        start, children = subprocess.Popen, []
        patch.setattr(subprocess, "Popen", lambda *a, **k: children.append(a) or start(*a, **k))
        (first,) = made_from(trained, tmp_path)
    assert len(children) == 1  # both ways of decoding are in one process
    assert (len(first.prior), len(first.reconstructions), first.note) == (COUNT, COUNT, "")
    said = json.loads(core("generate", str(trained / "run"), "--json", "--count", "4"))
    assert list(first.prior) == said["prior"]
    arguments = ["generate", str(trained / "run"), "--json", "--count", "4", "--decode", "sample"]
    drawn = json.loads(core(*arguments))
    assert list(first.sampled) == drawn["prior"]
    assert first.sampled != first.prior
    assert [list(pair) for pair in first.reconstructions] == said["reconstructions"]
    checkpoint = trained / "run" / "checkpoint.pt"
    hidden = checkpoint.rename(trained / "run" / "hidden")
    try:
        assert made_from(trained, tmp_path) == [first]
        (none,) = made_from(trained)
        assert (none.prior, none.note) == ((), "the run's folder has a result but no checkpoint")
        # A damaged cache file is ignored.
        (kept,) = tmp_path.iterdir()
        kept.write_text(kept.read_text()[:-1])
        assert made_from(trained, tmp_path)[0].note == none.note
        checkpoint.write_bytes(b"no checkpoint")
        assert "its checkpoint is missing or damaged" in made_from(trained)[0].note
    finally:
        hidden.rename(checkpoint)


def test_a_run_whose_corpus_has_changed_has_a_note_instead_of_sentences(tmp_path: Path) -> None:
    corpus = tmp_path / "mine"
    corpus.mkdir()
    for split in ("train", "valid", "test"):
        (corpus / f"{split}.txt").write_text("a b\nb c a\n")
    config = replace(recipe("lstm-vae", dataset=str(corpus)), max_steps=1, max_epochs=1, iw_samples=2)
    config = replace(config, hidden_size=4, embedding_size=4, latent_size=2, iw_exact_samples=0)
    (tmp_path / "run.json").write_text(json.dumps(config.to_dict()))
    core("run", str(tmp_path / "run.json"), "--out", str(tmp_path / "study" / "run"))
    (corpus / "train.txt").write_text("c c c\nb b a\n")
    (found,) = made_from(tmp_path / "study", dataset="mine")
    assert (found.prior, found.reconstructions) == ((), ())
    assert "trained on other data than mine holds now; give the --data-dir" in found.note
    assert "\n" not in found.note


def test_the_best_run_has_the_lowest_valid_nll_over_all_cells(tmp_path: Path, write_run: WriteRun) -> None:
    def valid(nll: float, joint: float) -> dict[str, float]:
        return {"nll_elbo": nll, "nll_joint": joint}

    write_run("lstm-vae-avg", 2, seed=0, dataset="toy", estimates=valid(5.0, 12.0))
    best = write_run("lstm-vae-avg", 2, seed=1, dataset="toy", estimates=valid(6.0, 11.0))
    write_run("lstm-vae-avg", 3, seed=0, dataset="toy", estimates=valid(1.0, 13.0))
    write_run("lstm-vae", 2, "inputless", dataset="toy", estimates={"nll_elbo": 9.0, "nll_iw": 8.0})
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    found = {best.cell.system: best for best in best_runs(cells, "toy")}
    assert (found["lstm-vae-avg"].run, found["lstm-vae-avg"].nll) == (best.name, 11.0)
    assert (found["lstm-vae"].estimate, found["lstm-vae"].label) == ("nll_iw", "LSTM-VAE L=2, inputless")
    assert best_runs(cells, "ptb") == []


def test_runs_are_chosen_by_validation_and_named_with_their_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    runs = [
        write_run(dataset="toy", seed=seed, latent_size=size, estimates={"nll_elbo": nll}).name
        for seed, size, nll in ((0, 4, 10.0), (1, 4, 11.0), (0, 8, 12.0))
    ]
    report = compose(collect([open_source(str(tmp_path / "study"))]))

    def chosen(perplexities: dict[str, float]) -> Best:
        (best,) = best_runs(report.cells, "toy", perplexities)
        return best

    # The run with the lowest test number has the highest validation perplexity.
    best = chosen(dict(zip(runs, (70.0, 60.0, 50.0), strict=True)))
    assert (best.run, best.nll, best.validation) == (runs[2], 12.0, 50.0)
    assert best.label == "LSTM-VAE L=1 (latent_size=8), standard"
    # A run that recorded none is chosen only if all lack one, and then the page says so.
    assert chosen({runs[1]: 60.0}).run == runs[1]
    by_test = chosen({})
    assert by_test.run == runs[0]
    for shown, told in ((best, False), (by_test, True)):
        said = Sentences(shown, ("a",), (("read", "made"),))
        page = report_page(report, Pictures((), ()), [said], "make it again", refresh=0)
        assert ("chosen by this test number" in page) == told
        assert page.index("reconstructions</p>") < page.index("<dt>read")
        assert f"<b>{shown.label}</b>" in page
