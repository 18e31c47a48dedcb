"""Compose the report from the runs: tables, bounds, comparisons, costs, and what failed or is missing.

One :class:`Report` is the source of the terminal's output, the Markdown page and the web page.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.published.catalogue import compared_datasets, compared_together
from analysis.reading.collect import Runs
from analysis.reading.frame import runs_in_rows
from analysis.reading.sources import study_names
from analysis.reading.validation import lowest_perplexities
from analysis.report.failed_runs import failed_runs
from analysis.report.findings import Finding, findings
from analysis.report.provenance import facts, origins
from analysis.report.search_trials import name_trials, search_notes
from analysis.report.unfinished_launches import unfinished_launches
from analysis.stats.average import Average, finite_mean
from analysis.stats.cells import Cell
from analysis.stats.claims import RULE
from analysis.stats.comparisons import compare_all
from analysis.stats.declared import declaration_note, declared_beforehand, declared_for
from analysis.stats.missing_runs import cells_without_runs, with_missing
from analysis.stats.over_seeds import average_cells, with_bootstrap
from analysis.stats.pairs import OWN_BASELINES, Baseline
from analysis.tables.bound_examples import CAUTION, below_the_truth, examples, explanation
from analysis.tables.bounds import bounds_table
from analysis.tables.comparisons import comparison_table, reproduction_table
from analysis.tables.costs import cost_table
from analysis.tables.elements.best import best_averages, compared_averages
from analysis.tables.elements.shown_variants import Score, hidden_variant_notes, mark_shown, tightest_nll
from analysis.tables.elements.table import SETTINGS, Table, dataset_title, row_label
from analysis.tables.hyperparameters import hyperparameter_table
from analysis.tables.latent import latent_table
from analysis.tables.notes.cells import huge_notes
from analysis.tables.notes.dataset import caveats, dataset_notes
from analysis.tables.notes.unpaired import unpaired_notes
from analysis.tables.paper import further_table, table2, table3
from analysis.tables.spelled import spelled_table
from lvae_core.errors import InputError
from lvae_core.messages import numbered
from lvae_core.run_folder.advice import failure_advice

RESAMPLING_SEED = 20190728
"""Seed of bootstrap and sign flips: the same runs give the same report."""

RETRY = "to retry them, run the sweep's command with --retry-failed"


@dataclass(frozen=True)
class Report:
    """The content of a report, in the order in which it is shown."""

    studies: tuple[str, ...]
    remarks: tuple[str, ...]
    """What a reader must know before any number."""
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]
    """What a reader should see first: the number furthest below the known truth of each dataset, launches
    that have not ended, and what the comparisons of each dataset and setting show. Of a search's trials,
    nothing is compared."""
    table2: tuple[Table, ...]
    table3: tuple[Table, ...]
    further: tuple[Table, ...]
    """Numbers that others published on the same test splits."""
    bounds: tuple[Table, ...]
    spelled: tuple[Table, ...]
    """NLL per character, for datasets with several vocabularies over one test split."""
    examples: tuple[str, ...]
    said_above: tuple[str, ...]
    """Notes of tables that the examples have given already."""
    comparisons: tuple[Table, ...]
    reproductions: tuple[Table, ...]
    latent: tuple[Table, ...]
    costs: tuple[Table, ...]
    hyperparameters: tuple[Table, ...]
    best: tuple[Average, ...]
    """The averages of models that are better than all they are compared with."""
    compared: tuple[Average, ...]
    """The averages of models that are compared with any other."""
    problems: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """Name of each failed run, and its variant and why it failed."""
    advice: tuple[str, ...]
    """What to do about the failed runs."""
    missing: tuple[str, ...]
    frame: pd.DataFrame
    """The runs, missing ones included."""
    cells: tuple[Cell, ...]
    datasets: tuple[str, ...]
    """Those with published numbers come first."""

    @property
    def title(self) -> str:
        """The report's title: its studies, and published numbers only if it has some."""
        kind = "Results and published numbers" if self.has_published else "Results"
        return f"{kind}: {study_names(self.studies)}" if self.studies else kind

    def best_in(self, table: Table) -> tuple[Average, ...] | None:
        """The averages that a table sets in bold; None if none of its numbers was compared."""
        compared = set(map(id, self.compared))
        has_any = any(id(value) in compared for line in table.lines for value in line.values)
        return self.best if has_any else None

    @property
    def title2(self) -> str:
        """The title above ``table2``: its published number, if it has published rows."""
        return "Table 2" if any(table.number for table in self.table2) else "NLL and PPL"

    @property
    def title3(self) -> str:
        """The title above ``table3``; see :attr:`title2`."""
        return "Table 3" if any(table.number for table in self.table3) else "Importance-weighted NLL"

    @property
    def short_facts(self) -> tuple[str, ...]:
        """The facts without the origins that all runs share."""
        runs = int((self.frame["status"] != "missing").sum())
        # A run that did not record its origin does not share it, nor does one of the current numerics share
        # another version.
        shared = {name for name, values in origins(self.frame) if [n for _, n in values] == [runs]}
        return tuple(fact for fact in self.facts if fact.partition(":")[0] not in shared)

    @property
    def explanation(self) -> tuple[str, ...]:
        """Sentences that say which numbers are bounds."""
        return explanation(self.cells, self.datasets)

    @property
    def has_published(self) -> bool:
        """Whether any table has a published number."""
        return any(table.has_published for table in (*self.table2, *self.table3, *self.further))


def compose(runs: Runs, baseline: Baseline = OWN_BASELINES) -> Report:
    """Compute everything that a report shows from the runs.

    Raises:
        InputError: no finished run is of the chosen baseline, or trials of a search should be compared.
    """
    frame = with_missing(runs.frame)
    # Drawn from in a fixed order: bootstrap first, then sign flips.
    rng = np.random.default_rng(RESAMPLING_SEED)
    rows = runs_in_rows(frame)
    # Trials of a search have not been compared by their test numbers, and are not here.
    trials = [search.study for search in runs.searches if not search.retrained]
    only_trials = bool(trials) and set(trials) == set(runs.studies)
    averaged = average_cells(rows)
    if only_trials and baseline != OWN_BASELINES:
        raise InputError(
            "--baseline: trials of a search are not compared; give the study of its retrained best"
        )
    baseline.check(averaged)
    score = _by_validation(averaged, frame) if only_trials else _chosen_first(tightest_nll, baseline)
    shown = name_trials(mark_shown(averaged, score=score), frame, runs.searches)
    cells = with_bootstrap(shown, rng)
    compared = [] if only_trials else compare_all(cells, rng, baseline)
    present = set(frame["dataset"].dropna())
    compared_with = compared_datasets()
    published = [dataset for dataset in compared_with if dataset in present]
    # A number below the known truth is what a reader should see first.
    known = set(frame["dataset"][frame["true_nll"].notna()])
    datasets = [*published, *sorted(present - set(published), key=lambda name: (name not in known, name))]
    of_one = [[dataset] for dataset in datasets]
    tables2 = [
        dataclasses.replace(
            table,
            notes=(
                *table.notes,
                *hidden_variant_notes(cells, dataset),
                *dataset_notes(rows, cells, dataset),
                *_stages(frame, dataset),
            ),
        )
        for dataset in datasets
        for table in [table2(cells, dataset)]
    ]
    tables2 = [_with_caveats(*pair, rows, cells) for pair in zip(tables2, of_one, strict=True)]
    # Table 3 has the datasets that it was published for side by side.
    groups = [list(g) for g in dict.fromkeys(compared_together(d, "3") or (d,) for d in datasets)]
    concluded = [] if only_trials else datasets
    sentences = [
        sentence
        for dataset in concluded
        for sentence in examples(cells, dataset, compared, lambda names: lowest_perplexities(frame, names))
    ]
    declared = declared_for(runs)
    declaration = (
        [declaration_note(declared, (len(c.paired.seeds) for c in compared))]
        if declared and compared
        else []
    )
    return Report(
        studies=runs.studies,
        remarks=tuple(search_notes(runs.searches)),
        facts=tuple(facts(runs, frame, cells)),
        findings=(
            # Seen in one row alone, so it needs no comparison and no other run.
            *(Finding(text) for dataset in concluded for text in below_the_truth(cells, dataset)),
            *map(Finding, unfinished_launches(runs)),
            *findings(cells, concluded, compared, declared_beforehand(runs)),
        ),
        table2=tuple(tables2),
        table3=_with_lines(_with_caveats(table3(cells, group), group, rows, cells) for group in groups),
        further=_with_lines(further_table(dataset) for dataset in datasets),
        bounds=tuple(
            _with_caveats(bounds_table(cells, dataset), [dataset], rows, cells) for dataset in datasets
        ),
        spelled=_with_lines(spelled_table(cells, dataset) for dataset in datasets),
        examples=(*sentences, CAUTION, *map(_sentence, declaration)) if sentences else (),
        said_above=(RULE, *declaration) if sentences else (),
        comparisons=_with_lines(
            _with_marks(
                comparison_table(compared, cells, dataset, declared),
                (
                    *([] if only_trials else unpaired_notes(_families(cells, dataset), baseline)),
                    *hidden_variant_notes(cells, dataset),
                    *_huge(cells, dataset),
                ),
            )
            for dataset in datasets
        ),
        reproductions=_with_lines(
            _with_marks(reproduction_table(cells, dataset), _huge(cells, dataset)) for dataset in published
        ),
        latent=_with_lines(latent_table(cells, dataset) for dataset in datasets),
        costs=_with_lines(cost_table(cells, dataset) for dataset in datasets),
        hyperparameters=_with_lines(hyperparameter_table(frame, dataset) for dataset in datasets),
        best=tuple(best_averages(compared)),
        compared=tuple(compared_averages(compared)),
        problems=runs.problems,
        failures=tuple(failed_runs(frame)),
        advice=tuple(
            failure_advice(frame["failure_class"][frame["status"] == "failed"].astype(str), RETRY)
        ),
        missing=tuple(_missing(cells, published)),
        frame=frame,
        cells=tuple(cells),
        datasets=tuple(datasets),
    )


def _by_validation(cells: Sequence[Cell], frame: pd.DataFrame) -> Score:
    """Rate cells by their lowest validation perplexity, mean over runs."""
    runs = {id(cell): sorted({run for a in cell.averages.values() for run in a.runs}) for cell in cells}
    found = lowest_perplexities(frame, [run for of_cell in runs.values() for run in of_cell])

    def score(cell: Cell) -> float:
        of_cell = runs[id(cell)]
        return finite_mean([found.get(run, math.inf) for run in of_cell]) if of_cell else math.inf

    return score


def _families(cells: Sequence[Cell], dataset: str) -> Iterator[list[Cell]]:
    """The cells of a dataset that tables for reading show, setting by setting."""
    for setting in SETTINGS:
        yield [c for c in cells if c.shown and (c.dataset, c.setting) == (dataset, setting)]


def _chosen_first(score: Score, baseline: Baseline) -> Score:
    """Show the variant that others are compared with, wherever it stands."""
    return lambda cell: -math.inf if baseline.is_variant(cell) else score(cell)


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def _stages(frame: pd.DataFrame, dataset: str) -> Iterable[str]:
    systems = frame.loc[frame["dataset"] == dataset, ["system"]]
    if count := len(systems) - len(runs_in_rows(systems)):
        yield f"not shown: {numbered(count, 'autoencoder')}, from which encoders of other runs start"


def _with_caveats(
    table: Table, datasets: Sequence[str], frame: pd.DataFrame, cells: Sequence[Cell]
) -> Table:
    """Print with a table of some datasets what changes how its numbers must be read."""
    found = {
        dataset: [*hidden_variant_notes(cells, dataset), *caveats(frame, cells, dataset)]
        for dataset in datasets
    }
    several = sum(map(bool, found.values())) > 1
    said = [
        f"{dataset_title(dataset)}: {note}" if several else note
        for dataset, notes in found.items()
        for note in notes
    ]
    return dataclasses.replace(
        table,
        notes=(*table.notes, *(note for note in said if note not in table.notes)),
        marks=(*table.marks, *said),
        once=(*table.once, *said),
    )


def _with_marks(table: Table, marks: Sequence[str]) -> Table:
    return dataclasses.replace(table, notes=(*table.notes, *marks), marks=(*table.marks, *marks))


def _huge(cells: Sequence[Cell], dataset: str) -> list[str]:
    return huge_notes(cell for cell in cells if cell.dataset == dataset)


def _with_lines(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.lines)


def _missing(cells: Sequence[Cell], published: Sequence[str]) -> Iterable[str]:
    """Name the published cells without a run. A study need not have other datasets than its own."""
    for dataset in published:
        missing = cells_without_runs(cells, dataset)
        if missing:
            names = [f"{row_label(c.system, c.num_samples)} {c.setting}" for c in missing]
            yield f"{dataset_title(dataset)}: no run of {', '.join(names)}"
