"""The LaTeX of a summary, compiled by a real pdflatex with booktabs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.formats.files import no_bold, table_files, write_files
from analysis.formats.latex import Style
from analysis.formats.summary import write_tables
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.report.two_studies import compare_studies
from analysis.tables.elements.csv_rows import COMPARE_COLUMNS

TABLES = ("bounds", "compare", "comparisons", "hyperparameters", "table2", "table3")

pdflatex = shutil.which("pdflatex")

# What the head of each file asks for.
PREAMBLES: dict[Style, str] = {
    "plain": "\\usepackage{booktabs,graphicx}\n",
    "siunitx": "\\usepackage{booktabs,graphicx,siunitx}\n"
    "\\sisetup{retain-explicit-plus, separate-uncertainty, retain-zero-uncertainty,\n"
    "  detect-weight, mode=text}\n",
}


def installed(file: str) -> bool:
    """Whether TeX finds a file of a package."""
    kpsewhich = shutil.which("kpsewhich")
    return kpsewhich is not None and subprocess.run([kpsewhich, file], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(pdflatex is None, reason="no pdflatex: apt-get install texlive-latex-recommended")
@pytest.mark.parametrize("style", ["plain", "siunitx"])
def test_every_table_compiles_without_warnings(
    tmp_path: Path, small_grid: Callable[..., None], write_run: Callable, style: Style
) -> None:
    if style == "siunitx" and not installed("siunitx.sty"):
        pytest.skip("no siunitx: apt-get install texlive-science")
    small_grid("a")
    small_grid("b", 0.5, learning_rate=0.5)
    write_run("lstm-lm", dataset="a_b-c.d", study="a")
    sources = [open_source(str(tmp_path / name)) for name in "ab"]
    out = tmp_path / "out"
    write_tables(compose(collect(sources)), str(out), latex=style)
    compared = compare_studies(*(collect([source]) for source in sources))
    write_files(
        table_files("compare", COMPARE_COLUMNS, compared.tables, best=no_bold, latex=style), str(out)
    )
    names = sorted(path.name for path in out.glob("*.tex"))
    assert names == [f"{name}.tex" for name in (*TABLES[:3], "further", *TABLES[3:])]
    parts = "\n".join(rf"\input{{{name}}}" + "\n\\clearpage\n" for name in names)
    document = (
        r"\documentclass{article}"
        + PREAMBLES[style]
        + r"\begin{document}"
        + f"\n{parts}\n"
        + r"\end{document}"
        + "\n"
    )
    (out / "all.tex").write_text(document)
    assert pdflatex
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (out / "all.pdf").read_bytes().startswith(b"%PDF")
    log = (out / "all.log").read_text(errors="replace")
    assert "Missing character" not in log
    # In a plain article nothing is wider than the text, or higher than a page.
    assert "Overfull \\hbox" not in log
    assert "Float too large" not in log
    if pdftotext := shutil.which("pdftotext"):
        shown = subprocess.run(
            [pdftotext, "all.pdf", "-"], cwd=out, capture_output=True, text=True, check=True
        )
        # Of LSTM-LM, inputless: a published std that is 0 as printed still tells of several runs.
        assert "139.9±0.0" in shown.stdout.replace(" ", "")
