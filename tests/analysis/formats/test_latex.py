"""The LaTeX of a summary, compiled by a real pdflatex with booktabs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.formats.files import table_files, write_files
from analysis.formats.summary import write_tables
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.report.two_studies import compare_studies
from analysis.tables.elements.csv_rows import COMPARISON_COLUMNS

TABLES = ("bounds", "compare", "comparisons", "hyperparameters", "table2", "table3")

pdflatex = shutil.which("pdflatex")


@pytest.mark.slow
@pytest.mark.skipif(pdflatex is None, reason="no pdflatex: apt-get install texlive-latex-recommended")
def test_every_table_compiles_without_warnings(
    tmp_path: Path, small_grid: Callable[..., None], write_run: Callable
) -> None:
    small_grid("a")
    small_grid("b", 0.5, learning_rate=0.5)
    write_run("lstm-lm", dataset="a_b-c.d", study="a")
    sources = [open_source(str(tmp_path / name)) for name in "ab"]
    out = tmp_path / "out"
    write_tables(compose(collect(sources)), str(out), latex="plain")
    compared = compare_studies(*(collect([source]) for source in sources))
    write_files(
        table_files("compare", COMPARISON_COLUMNS, compared.tables, best=None, latex="plain"), str(out)
    )
    names = sorted(path.name for path in out.glob("*.tex"))
    assert names == [f"{name}.tex" for name in (*TABLES[:3], "further", *TABLES[3:])]
    # In a size at which a wide table fits: an overfull line is a complaint like any other.
    parts = "\n".join(rf"\input{{{name}}}" + "\n\n" for name in names)
    document = (
        r"\documentclass[a3paper]{article}\usepackage[margin=1cm]{geometry}\usepackage{booktabs}"
        r"\makeatletter\def\@floatboxreset{\tiny}\makeatother"
        "\n" + r"\begin{document}\noindent" + f"\n{parts}\n" + r"\end{document}" + "\n"
    )
    (out / "all.tex").write_text(document)
    assert pdflatex
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (out / "all.pdf").read_bytes().startswith(b"%PDF")
    log = (out / "all.log").read_text(errors="replace")
    assert "Missing character" not in log
    assert "Overfull \\hbox" not in log
