"""A number that a few draws decide hides no reliable bound, and a reader is told which one is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.reading.collect import Runs, collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.report.search_points import compare_points
from analysis.report.two_studies import compare_studies
from lvae_core.run_folder.estimates import UNRELIABLE_SHARE

from ..conftest import WriteRun, texts_of

UNRELIABLE = UNRELIABLE_SHARE + 0.01


def read(tmp_path: Path, study: str = "study") -> Runs:
    return collect([open_source(str(tmp_path / study))])


def write(write_run: WriteRun, elbo: float, share: float | None = UNRELIABLE, study: str = "study") -> None:
    """LSTM-LM at 100 nats; LSTM-VAE with an ELBO, and an IW number half a nat below it."""
    for seed in range(8):
        write_run("lstm-lm", seed=seed, dataset="toy", study=study, estimates={"nll": 100 + seed / 9})
        draws = {"value": elbo - 0.5, "ess": 2.0} | ({} if share is None else {"khat_above": share})
        estimates = {"nll_elbo": elbo, "nll_iw": draws, "kl": 5.0, "mi": 2.0}
        write_run("lstm-vae", 1, seed=seed, dataset="toy", study=study, estimates=estimates)


def test_a_number_from_too_few_draws_to_judge_it_is_unreliable(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 80.0, share=None)
    found = report(tmp_path)
    assert "LSTM-VAE L=1 by its ELBO, as its IW is unreliable" in texts_of(found.findings)[0]
    words = [str(line.values[-1]) for line in found.bounds[0].lines if line.values]
    assert "upper bound *" in words
    assert "upper bound in expectation only, unreliable" in words
    assert any(note.startswith("no k>0.7: it needs more than 20") for note in found.bounds[0].marks)


def report(tmp_path: Path) -> Report:
    return compose(read(tmp_path))


def notes_on_substitutes(found: Report) -> list[str]:
    (table,) = found.comparisons
    return [note for note in table.notes if note.startswith("compared by the tightest reliable bound")]


def test_a_reliable_elbo_decides_beside_a_lower_unreliable_number(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 80.0)
    found = report(tmp_path)
    # 100 + seed / 9 has a mean of 100.39; the ELBO lies 20.39 below.
    assert texts_of(found.findings)[0].startswith(
        "toy standard: 1 conclusion from 1 comparison of tightest valid bounds. LSTM-VAE L=1 is better "
        "than LSTM-LM by at least 20.4 (95%: 20.2 to 20.6) over 8 common seeds (their number was not "
        "declared beforehand; "
        "LSTM-VAE L=1 by its ELBO, as its IW is unreliable)"
    )
    (note,) = notes_on_substitutes(found)
    assert ": LSTM-VAE L=1 standard (ELBO for IW). More importance samples" in note
    assert note in found.comparisons[0].marks
    # The table of bounds has the star at the number that is compared.
    words = [str(line.values[-1]) for line in found.bounds[0].lines if line.values]
    assert "upper bound *" in words
    assert "upper bound in expectation only, unreliable" in words


@pytest.mark.parametrize(("share", "number"), [(UNRELIABLE, 1), (UNRELIABLE_SHARE, 0)])
def test_the_note_comes_only_if_a_number_gives_way(
    tmp_path: Path, write_run: WriteRun, share: float, number: int
) -> None:
    write(write_run, 80.0, share)
    found = report(tmp_path)
    assert len(notes_on_substitutes(found)) == number
    assert ("unreliable" in texts_of(found.findings)[0]) == bool(number)


def test_a_reliable_bound_above_an_exact_number_is_the_reason_that_is_given(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 101.0)  # the unreliable number is 100.5, above LSTM-LM's 100.39 by little
    found = report(tmp_path)
    assert found.findings[0].reasons == (
        "LSTM-VAE L=1 against LSTM-LM: a bound above an exact number shows nothing.",
    )
    assert notes_on_substitutes(found)


def test_an_unreliable_number_below_the_exact_one_is_what_more_samples_may_make_count(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 100.8)  # the unreliable number is 100.3
    (finding,) = report(tmp_path).findings
    assert finding.reasons == (
        "LSTM-VAE L=1 against LSTM-LM: a bound above an exact number shows nothing; a tighter bound lies "
        "below the other number but is unreliable, so more importance samples may decide.",
    )


def test_two_bounds_are_not_said_to_need_importance_samples(tmp_path: Path, write_run: WriteRun) -> None:
    for rate in (1.0, 2.0):
        draws = {"value": 79.0, "ess": 2.0, "khat_above": UNRELIABLE}
        estimates = {"nll_elbo": 80.0 + rate, "nll_iw": draws, "kl": 5.0, "mi": 2.0}
        write_run("lstm-vae", 1, dataset="toy", estimates=estimates, learning_rate=rate)
    assert "samples" not in texts_of(report(tmp_path).findings)[0]


def test_sentences_name_the_number_behind_their_verdict(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 80.0)
    for seed in range(8):
        draws = {"value": 70.0, "ess": 2.0, "khat_above": UNRELIABLE}
        estimates = {"nll_elbo": 60.0, "nll_joint": 75.0, "nll_iw_joint": draws, "kl": 5.0, "mi": 2.0}
        write_run("lstm-vae-avg", 5, seed=seed, dataset="toy", estimates=estimates)
    example, lowest, *_ = report(tmp_path).examples
    assert "its tightest valid bound (IW, joint) is 70.0, which is unreliable. The number to" in example
    assert "its joint ELBO, 75.0, 25.4 less: LSTM-VAE-AVG L=5 is better than LSTM-LM by at" in example
    assert "70.0, which is unreliable. The number to compare is its joint ELBO, 75.0, 25.4 less t" in lowest
    for sentence in (example, lowest):
        assert "LSTM-VAE-AVG L=5 is better than LSTM-LM by at least 25.4 (95%: " in sentence
        # The difference of a number that is not compared would contradict the verdict.
        assert "30.4" not in sentence


def test_two_studies_and_a_search_name_the_number_that_they_compare(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 80.0, UNRELIABLE, "a")
    write(write_run, 79.0, 0.0, "b")
    estimates, *_ = compare_studies(read(tmp_path, "a"), read(tmp_path, "b")).tables
    (note,) = [note for note in estimates.notes if note.startswith("compared by the tightest reliable")]
    assert ": LSTM-VAE L=1 of A standard (ELBO for IW). More" in note
    frame = read(tmp_path, "a").frame
    runs = {
        run: {"lstm-lm": "the recipe"}.get(system, "point 1")
        for run, system in zip(frame["run"], frame["system"], strict=True)
    }
    table = compare_points(runs, str(tmp_path / "a"), [])
    assert table
    (note,) = [note for note in table.notes if note.startswith("compared by the tightest reliable")]
    assert ": LSTM-VAE L=1 (point 1) standard (ELBO for IW). More" in note
    assert any(note.startswith("NLL: nll_elbo and nll on the test split") for note in table.notes)
    # One row is an ELBO and another exact: each says which.
    by = [column.name for column in table.columns].index("by")
    assert [line.values[by] for line in table.lines] == ["exact", "ELBO"]
