"""The W&B report: our numbers in it, its panels, and that it is one report however often it is written."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

from analysis.formats.wandb import Place, blocks_of, wr
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from lvae_core.run_folder.study import Study
from sweeps.wandb_mirror.content import read_content

from ..analysis.conftest import run_writer
from ..commands import python
from ..wandb_server.server import Server
from .kit import KEY, PROJECT, ROOT, begin, complete, environment

T_QUANTILE = 4.302652729911275
"""The 0.975 quantile of Student's t with 2 degrees of freedom."""


def command(server: Server, home: Path, script: str, *arguments: str, key: str | None = KEY) -> Any:
    line = [*python(), str(ROOT / script), *arguments, "--project", PROJECT]
    env = {**environment(home, server.url, key), "XDG_CACHE_HOME": str(home / "cache")}
    env["WANDB_MODE"] = ""  # which the library alone would refuse
    return subprocess.run(line, env=env, cwd=home, capture_output=True, text=True, timeout=240, check=False)


def test_one_report_is_written_and_rewritten_in_place(server: Server, home: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    for seed in range(3):
        complete(begin(study, seed, epochs=2))
    failed = begin(study, 3, epochs=1)
    failed.write_failure("diverged", "the loss is not finite", "Traceback")

    early = command(server, home, "analysis/wandb_report.py", str(study))
    assert (early.returncode, early.stdout) == (2, "")
    assert early.stderr.startswith(f"error: --project {PROJECT}: reader has no such project; send the runs")
    assert command(server, home, "sweeps/wandb_push.py", str(study)).returncode == 0
    first = command(server, home, "analysis/wandb_report.py", str(study))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"{server.url}/reader/{PROJECT}/reports/lvae:-study--")
    (view,) = server.views.values()
    before = json.loads(view["spec"])
    assert view["displayName"] == "lvae: study"

    texts = [block["content"] for block in before["blocks"] if block["type"] == "markdown-block"]
    (numbers,) = [line for text in texts for line in text.splitlines() if "| nll_elbo |" in line][:1]
    # Seeds 0, 1, 2 have 101.25, 102.25 and 103.25: mean 102.25, sample standard deviation 1.
    half = T_QUANTILE / math.sqrt(3)
    interval = f"\\[{102.25 - half:.1f}, {102.25 + half:.1f}]"
    assert numbers.startswith(f"| LSTM-VAE L=5 | standard | nll_elbo | 3 | 102.2±1.0 | {interval} |")
    assert any("the loss is not finite" in text for text in texts)
    (grid,) = [block for block in before["blocks"] if block["type"] == "panel-grid"]
    (runs,) = grid["metadata"]["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "cell.value"}]
    wanted = {item["key"]["name"]: item["value"] for item in runs["filters"]["filters"]}
    assert wanted == {"cell": ["toy__lstm-vae__standard__L5"], "study": ["study"]}
    panels = grid["metadata"]["panelBankSectionConfig"]["panels"]
    curves = [panel["config"] for panel in panels if panel["config"].get("xAxis") == "epoch"]
    assert ["valid_ppl"] in [curve["metrics"] for curve in curves]
    # A panel of a metric that no run has would be empty.
    written = begin(study, 9, epochs=1).read_metrics()[0]
    assert {name for curve in curves for name in curve["metrics"]} <= written.keys()

    for seed in range(3, 5):
        complete(begin(study, seed, epochs=2))
    again = command(server, home, "analysis/wandb_report.py", str(study))
    assert again.stdout == first.stdout
    (view,) = server.views.values()
    after = json.dumps(json.loads(view["spec"]), ensure_ascii=False)
    assert "| nll_elbo | 5 | 103.2±1.6 |" in after
    assert "the loss is not finite" not in after


def test_a_renamed_study_is_in_the_report_after_its_next_push(
    server: Server, home: Path, tmp_path: Path
) -> None:
    complete(begin(tmp_path / "before", epochs=2))
    for name in ("before", "after"):
        study = (tmp_path / "before").rename(tmp_path / name)
        assert command(server, home, "sweeps/wandb_push.py", str(study)).returncode == 0
        (run,) = server.runs.values()
        assert run.config["study"] == name  # which selects the runs of the report's panels
        assert [row["epoch"] for row in run.history] == [1, 2]


def blocks(place: Path) -> list[Any]:
    return blocks_of(compose(collect([open_source(str(place / "study"))])), Place("entity", "project"))


def runsets(place: Path) -> list[Any]:
    return [block.runsets[0] for block in blocks(place) if isinstance(block, wr.PanelGrid)]


def over(vocabulary: int) -> dict[str, Any]:
    """What a result says of its vocabulary."""
    sizes = {"sentences": 3761, "tokens": 82430, "unknown": 0.1}
    return {"vocabulary": vocabulary, "splits": {"train": sizes, "valid": sizes, "test": sizes}}


def number_tables(place: Path) -> str:
    texts = [getattr(block, "text", "") for block in blocks(place)]
    return "\n".join(texts[texts.index("Every number with its interval") + 1 :])


def test_every_number_says_what_it_bounds_with_the_digits_of_its_error(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    for seed in range(3):
        nll = 100 + 0.004 * seed
        estimates = {"nll_elbo": nll, "nll_iw": nll - 1, "kl": 0.0002 * (1 + seed), "mi": 1.0}
        write("lstm-vae-avg", 5, seed=seed, dataset="toy", estimates=estimates)
    text = number_tables(tmp_path)
    assert (
        "| LSTM-VAE-AVG L=5 | standard | nll_elbo | 3 | 100.004±0.004 | "
        "\\[99.994, 100.014] | not a bound |" in text
    )
    assert "| kl | 3 | 0.0004±0.0002 |" in text
    assert "published" not in text


def test_numbers_over_different_text_stand_in_tables_of_their_own(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    for system, data in (("lstm-lm", "d" * 64), ("lstm-vae", "e" * 64)):
        write(system, dataset="toy", data=data, result=over(9000))
    first, second = number_tables(tmp_path).split("data eeeeeeee")[:2]
    assert "data dddddddd" in first
    assert "LSTM-VAE" not in first
    assert "| LSTM-VAE L=1 |" in second
    assert "LSTM-LM" not in second.split("data dddddddd")[0]


def test_panels_average_no_runs_of_different_configs(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    for rate, data in ((0.5, "d" * 64), (1.0, "d" * 64), (1.0, "e" * 64)):
        write(dataset="toy", learning_rate=rate, data=data, result=over(9000))
    write(dataset="pydocs")
    of_toy = [found for found in runsets(tmp_path) if "toy__" in found.filters]
    assert of_toy
    for found in of_toy:
        assert found.groupby == ["config.cell", "config.learning_rate", "config.provenance.data_sha256"]
    (of_pydocs,) = [found for found in runsets(tmp_path) if "pydocs__" in found.filters]
    assert of_pydocs.groupby == ["config.cell"]
    # Where the mirror puts the digest of the data.
    folder = begin(tmp_path / "mirrored")
    folder.write_json("provenance.json", {"attempts": [{"data_sha256": "d" * 64}]})
    content = read_content(folder)
    assert content is not None
    assert content.config["provenance"]["data_sha256"] == "d" * 64


def test_panels_average_no_runs_of_different_versions_of_the_code(tmp_path: Path) -> None:
    """Versions that train differently can share the whole config and the data."""

    def grouped(place: Path, *commits: str) -> list[str]:
        for digit, commit in zip("12", commits, strict=True):
            folder = run_writer(place)(dataset="toy")
            copy = Study(str(place / "study")).run(f"{folder.name.rpartition('-')[0]}-{digit * 8}")
            (place / "study" / folder.name).rename(place / "study" / copy.name)
            for name in ("config.json", "result.json"):
                copy.write_json(name, copy.read_json(name) | {"fingerprint": digit * 64})
            copy.write_json("provenance.json", {"attempts": [{"commit": commit * 40}]})
        (found,) = runsets(place)
        return list(found.groupby)

    assert grouped(tmp_path / "commits", "a", "b") == ["config.cell", "config.provenance.commit"]
    # Two fingerprints of one commit: each run is alone, by its name.
    assert grouped(tmp_path / "one", "a", "a") == ["config.cell", "config.run"]
    content = read_content(begin(tmp_path / "mirrored"))
    assert content is not None
    assert content.config["provenance"]["commit"] == "c" * 40
    assert content.config["run"] == content.name


def test_runs_over_different_text_have_panels_of_their_own(tmp_path: Path) -> None:
    write, folders = run_writer(tmp_path), {}
    for limit, vocabulary in ((0, 9000), (100, 100)):
        same = {"dataset": "toy", "max_vocabulary": limit}
        folders[limit] = [write(**same, seed=0, result=over(vocabulary)).name]
        # An unfinished run has the text of those with its limits.
        folders[limit].append(write(**same, seed=1, status="unfinished").name)
    folders[0].append(write(dataset="toy", seed=2, result=over(9000)).name)
    first, second = runsets(tmp_path)
    assert repr(sorted(folders[0])) in first.filters
    assert repr(sorted(folders[100])) in second.filters
    titles = [block.text for block in blocks(tmp_path) if isinstance(block, wr.H1)]
    assert titles[1:3] == ["toy: runs by cell, text 1", "toy: runs by cell, text 2"]


def test_panels_say_which_of_their_numbers_are_no_bounds(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    write("lstm-vae-avg", 5, dataset="toy")
    write("lstm-vae-avg", 1, dataset="toy")
    write("lstm-vae", 5, dataset="toy")
    found = blocks(tmp_path)
    (place,) = [k for k, block in enumerate(found) if isinstance(block, wr.PanelGrid)]
    note = found[place + 1].text.replace("\\", "")
    assert note.startswith("LSTM-VAE-AVG L=5: the validation perplexity")
    assert "they are not bounds" in note
    # Without such a cell nothing is said.
    run_writer(tmp_path / "bounds")("lstm-vae", 5, dataset="toy")
    found = blocks(tmp_path / "bounds")
    (place,) = [k for k, block in enumerate(found) if isinstance(block, wr.PanelGrid)]
    assert isinstance(found[place + 1], wr.H1)


def test_unusable_input_is_one_line(server: Server, home: Path, tmp_path: Path) -> None:
    complete(begin(tmp_path / "study", epochs=1))
    for study, key, beginning in (
        (tmp_path / "study", None, f"error: wandb_report.py: no API key for {server.url}"),
        (tmp_path / "study", "no key", "error: wandb_report.py: WANDB_API_KEY invalid: "),
        (tmp_path / "nowhere", KEY, f"error: {tmp_path / 'nowhere'}: there is no such study"),
    ):
        done = command(server, home, "analysis/wandb_report.py", str(study), key=key)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(beginning)
        assert done.stderr.count("\n") == 1
