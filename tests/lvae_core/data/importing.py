"""Sources of imports for tests, and what becomes of them."""

from pathlib import Path

from lvae_core.__main__ import main
from lvae_core.data.importing import Rules, import_text
from lvae_core.data.tables import Column, read_cells
from lvae_core.data.text_files import SPLITS


def write(folder: Path, suffix: str = ".txt", **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for split, text in texts.items():
        (folder / f"{split}{suffix}").write_bytes(text.encode())
    return folder


def same(text: str) -> dict[str, str]:
    return dict.fromkeys(SPLITS, text)


def lines(folder: Path, split: str = "train") -> list[str]:
    return (folder / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def cells_of(path: Path, column: str | None) -> Column:
    return read_cells(path.read_bytes(), path, column)


def imported(source: Path, **rules: object) -> Path:
    out = source.parent / "out"
    import_text([source], out, Rules(**rules))  # type: ignore[arg-type]
    return out


def import_file(path: Path, content: str, *arguments: str) -> int:
    """Import a file as all three splits, to the folder ``out`` beside it."""
    path.write_text(content, encoding="utf-8")
    return main(["import", *[str(path)] * 3, *arguments, "--out", str(path.parent / "out")])
