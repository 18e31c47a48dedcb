"""The texts behind a dataset's numbers, by which tables keep their lines apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.stats.cells import Cell
from analysis.stats.text_groups import has_published_text, names_of_texts
from analysis.tables.elements.table import SETTINGS


class TextNames:
    """Names the text of each cell: ``text 1``, ``text 2``, …; "" if its dataset has one text only.

    A cell without a finished run has no text yet. It gets that of a finished cell of its variant, which has
    the same data and vocabulary, or else the first.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        """``cells``: all cells of the datasets, so that every table gives a text the same name."""
        datasets = dict.fromkeys(cell.dataset for cell in cells)
        self._names = {dataset: names_of_texts(cells, dataset) for dataset in datasets}
        self._of_variants = {_variant(cell): cell.text for cell in reversed(cells) if cell.text}

    def of(self, cell: Cell) -> str:
        """The name of a cell's text."""
        return self._names[cell.dataset][cell.text or self._of_variants.get(_variant(cell))]

    def every(self, dataset: str) -> list[str]:
        """The names of a dataset's texts, the one with the most runs first."""
        return list(dict.fromkeys(self._names.get(dataset, {}).values()))

    def beside_published(self, cells: Sequence[Cell], dataset: str) -> str:
        """The name of the text whose numbers stand below the published ones: theirs, or else the first."""
        theirs = {
            self.of(c)
            for c in cells
            if c.dataset == dataset and c.text is not None and has_published_text(c)
        }
        names = self.every(dataset)
        return next((name for name in names if name in theirs), next(iter(names), ""))


def _variant(cell: Cell) -> tuple[str, str, int, str]:
    return cell.dataset, cell.system, cell.num_samples, cell.variant


def sections(cells: Sequence[Cell], names: TextNames) -> Iterator[tuple[str, list[Cell]]]:
    """The cells of each setting and text under their heading: ``standard``, or ``standard, text 1``."""
    for setting in SETTINGS:
        of_setting = [cell for cell in cells if cell.setting == setting]
        # The texts in the order of their names' numbers.
        texts = sorted({names.of(cell) for cell in of_setting}, key=lambda name: (len(name), name))
        for text in texts:
            heading = f"{setting}, {text}" if text else setting
            yield heading, [cell for cell in of_setting if names.of(cell) == text]
