"""Finished runs as frames, for notebooks; the names that ``from analysis import …`` gives."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.reading.collect import Runs, collect
from analysis.reading.evaluations import parse_evaluation
from analysis.reading.frame import COLUMNS
from analysis.reading.learning_curves import learning_curves
from analysis.reading.sources import Source, open_source
from analysis.report.report import Report, compose
from analysis.stats.pairs import OWN_BASELINES, Baseline
from analysis.tables.elements.csv_rows import CELL_COLUMNS, COMPARISON_COLUMNS, cell_row, csv_frame
from lvae_core.errors import InputError, check_type

_log = logging.getLogger("lvae.analysis")

_PUBLISHED = ("table", "source", "metric", "mc_stderrs", "comparable_mean", "welch_p", "margin", "verdict")
_COLUMNS = tuple(
    name for name in CELL_COLUMNS if name not in _PUBLISHED and not name.startswith(("published", "differ"))
)


def read_runs(*studies: str | Path, evaluation: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read studies or single runs into a tidy frame, one row per run, NA for what is unknown.

    Columns are the run's name, status, estimates (``nll_elbo``, ``nll_elbo_stderr``, …), times, versions
    and config fields; the docstring of ``analysis/reading/frame.py`` lists them. A damaged file is
    reported as a warning to the logger ``lvae.analysis``.

    Args:
        *studies: paths or URLs, merged; a run in several of them counts once.
        evaluation: field -> value of the evaluation to read if a run has several, such as
            ``{"iw_samples": 5000}``; None: in each cell the one that most runs have.

    Raises:
        InputError: there is no such study or no such field, trials of a search are to be merged with other
            runs, a run is in two places with different numbers, or a storage cannot be reached.
    """
    if evaluation is not None:
        check_type("evaluation", evaluation, Mapping, "a dictionary of fields")
    wanted = parse_evaluation(f"{name}={value}" for name, value in (evaluation or {}).items())
    runs = collect(_sources(studies), evaluation=wanted)
    _warn(runs.problems)
    return runs.frame


def read_curves(*studies: str | Path) -> pd.DataFrame:
    """Read learning curves into a tidy frame, one row per run and epoch.

    Columns are ``run``, ``epoch`` and what ``metrics.jsonl`` holds: ``train_nll``, ``valid_ppl``, ….
    ``merge`` it with :func:`read_runs` on ``run``.

    Raises:
        InputError: as :func:`read_runs`.
    """
    sources = _sources(studies)
    curves = learning_curves(sources, collect(sources).frame)
    _warn(curves.problems)
    return curves.frame


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the runs of each cell over their seeds; one row per cell and estimate.

    Columns: the cell (``dataset`` … ``variant``), ``estimate``, ``n``, ``mean``, ``std``, 95% intervals of
    the mean (``t_low``, ``t_high``; ``bca_low``, ``bca_high``), ``mc_stderr``, ``bound`` (whether the
    estimate bounds -log p(x)), counts of runs by status, and tuples ``seeds`` and ``values``.

    Args:
        runs: rows of :func:`read_runs`; select some of them as you like.

    Raises:
        InputError: ``runs`` is no frame, or lacks a column of :func:`read_runs`.
    """
    report = _report(runs)
    rows = (
        cell_row("", cell, name, name, None) | {"seeds": average.seeds, "values": average.values}
        for cell in report.cells
        for name, average in cell.averages.items()
    )
    return _with_numbers(csv_frame(rows, _COLUMNS))


def comparisons(runs: pd.DataFrame, *, baseline: Iterable[str] = ()) -> pd.DataFrame:
    """Compare systems with their baselines seed by seed; one row per comparison and metric.

    ``difference`` is a - b, the mean over the ``n`` common seeds; ``flip_holm`` is the p-value after Holm's
    correction, and ``verdict`` what may be said. docs/report.md has the rule.

    Args:
        runs: rows of :func:`read_runs`. The correction counts the comparisons among these.
        baseline: systems to compare every system with, and ``FIELD=VALUE`` of the variant to compare
            variants with; by default each system's own baselines, and its first variant.

    Raises:
        InputError: as :func:`cells`; or no finished run is of the baseline.
    """
    check_type("baseline", baseline, (list, tuple), "a list, such as ['lstm-lm', 'latent_size=32']")
    for word in baseline:
        check_type("baseline", word, str, "a list of texts, such as ['lstm-lm', 'latent_size=32']")
    tables = _report(runs, Baseline.parse(baseline)).comparisons
    rows = (row for table in tables for row in table.csv_rows())
    return _with_numbers(csv_frame(rows, COMPARISON_COLUMNS))


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Give columns that lack every value, or some, the type of numbers."""
    numbers = [name for name in frame if frame[name].map(_is_number).all()]
    return frame.astype(dict.fromkeys(numbers, "Float64"))


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, float)


def _sources(studies: Iterable[str | Path]) -> list[Source]:
    studies = tuple(studies)
    for study in studies:
        check_type("study", study, (str, Path), "a path or URL; give several as several arguments")
    return [open_source(str(study)) for study in studies]


def _report(runs: pd.DataFrame, baseline: Baseline = OWN_BASELINES) -> Report:
    check_type("runs", runs, pd.DataFrame, "a frame, as read_runs(study) returns it")
    if lacking := [name for name in COLUMNS if name not in runs]:
        raise InputError(f"runs: no column {lacking[0]!r}; give rows of read_runs with all its columns")
    studies = tuple(map(str, runs["study"].unique()))
    return compose(Runs(runs.reset_index(drop=True), studies, problems=(), duplicates=0), baseline)


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        _log.warning(problem)
