"""Group the cells of a dataset by their text, and say which may be compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

from analysis.published.catalogue import published_splits
from analysis.stats.cells import Cell
from analysis.stats.texts import Text
from analysis.stats.valid_bounds import to_compare
from lvae_core.messages import numbered
from lvae_core.systems import has_own_sizes, recipe


def names_of_texts(cells: Sequence[Cell], dataset: str) -> dict[Text | None, str]:
    """Text -> ``text 1``, ``text 2``, … of a dataset, the one with the most runs first.

    The name is "" if there is one text. Cells without a finished run, of text None, count to the first.
    """
    runs: Counter[Text] = Counter()
    for cell in cells:
        if cell.dataset == dataset and cell.text is not None:
            runs[cell.text] += cell.counts.done
    names: dict[Text | None, str] = {
        text: f"text {number}" if len(runs) > 1 else ""
        for number, (text, _) in enumerate(runs.most_common(), start=1)
    }
    return {**names, None: next(iter(names.values()), "")}


def first_texts(cells: Sequence[Cell]) -> list[Cell]:
    """The cells over the first text of their dataset: those that one figure can show together."""
    names = {dataset: names_of_texts(cells, dataset) for dataset in {cell.dataset for cell in cells}}
    return [cell for cell in cells if names[cell.dataset][cell.text] in ("", "text 1")]


def text_notes(cells: Sequence[Cell], dataset: str) -> list[str]:
    """Say that a dataset's numbers are over several texts, and which; nothing if there is one."""
    names = {text: name for text, name in names_of_texts(cells, dataset).items() if text is not None}
    if len(names) < 2:
        return []
    runs = {
        text: sum(c.counts.done for c in cells if (c.dataset, c.text) == (dataset, text)) for text in names
    }
    listed = "; ".join(f"{name} ({numbered(runs[text], 'run')}): {text}" for text, name in names.items())
    of_dataset = [cell for cell in cells if cell.dataset == dataset]
    comparable = (
        "vocabularies are compared per character alone; " if compared_vocabularies(of_dataset) else ""
    )
    return [
        "not all numbers are over the same text (data, splits, tokenisation and vocabulary), and different "
        f"text is a different problem: they stand apart and are never compared or ranked; {comparable}"
        f"figures show text 1. {listed}"
    ]


def split_notes(cells: Sequence[Cell], dataset: str) -> list[str]:
    """Give the sizes of a dataset's one test text, by which an NLL becomes a PPL; several have a note."""
    texts = [text for text in names_of_texts(cells, dataset) if text is not None]
    if len(texts) != 1:
        return []
    (text,) = texts
    words = "" if text.vocabulary is None else f", V = {text.vocabulary:,}"
    return [f"test: {text.sentences:,} sentences, {text.tokens:,} tokens with </s>{words}"]


def compared_vocabularies(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of one setting over one test text whose vocabularies differ, for each such text.

    Only shown cells with a valid number count, and only if their results recorded what unknown words cost
    when spelled out.
    """
    groups: dict[Hashable, list[Cell]] = defaultdict(list)
    for cell in cells:
        text = cell.text
        if cell.shown and text is not None and text.characters and to_compare(cell):
            groups[cell.setting, text.data_sha256, text.sentences, text.characters].append(cell)
    return [together for together in groups.values() if len({cell.text for cell in together}) > 1]


def same_text(a: Cell, b: Cell) -> bool:
    """Whether the numbers of two cells are over the same text, so that they can be compared."""
    return a.text == b.text or (a.text is not None and b.text is not None and a.text.matches(b.text))


def has_published_text(cell: Cell) -> bool:
    """Whether a cell's test split and vocabulary are those behind its dataset's published numbers.

    The vocabulary behind a number on a folder of the user's own is not known: there the split decides.
    """
    split = published_splits().get(cell.dataset)
    if split is None or cell.text is None:
        return True
    same_split = (cell.text.sentences, cell.text.tokens) == split
    return same_split and cell.text.fields == (published_limits(cell.dataset) or cell.text.fields)


def published_limits(dataset: str) -> tuple[int, int] | None:
    """``min_count`` and ``max_vocabulary`` behind a dataset's published numbers; None if not known."""
    if not has_own_sizes(dataset):
        return None
    planned = recipe("lstm-lm", dataset=dataset)
    return planned.min_count, planned.max_vocabulary
