"""Parts of the doctor without Ray; tests/integration/test_preflight.py lets it examine real clusters."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study
from sweeps.checks.findings import Finding
from sweeps.checks.study import check_run_folders
from sweeps.doctor import Options, load, main, removing_new_folders, show

from ..commands import python

SCRIPT = Path(__file__).parents[2] / "sweeps" / "doctor.py"


pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--storage", ""], "--storage: empty"),
        (["--study", "a/b"], "--study 'a/b'"),
        (["--cpus-per-run", "0"], "--cpus-per-run 0: must be at least 1"),
        (["--gpus-per-run", "1.5"], "--gpus-per-run 1.5"),
        (["--storage", "nosuch://place"], "nosuch"),
        (["--timeout", "nan"], "--timeout nan: must be above 0"),
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1: nothing answers there"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_has_status_2_and_help_lists_the_options():
    done = subprocess.run([*python(), str(SCRIPT), "--adress"], capture_output=True, check=False)
    assert done.returncode == 2
    help_text = subprocess.run([*python(), str(SCRIPT), "--help"], capture_output=True, check=True)
    for option in (b"--storage", b"--study", b"--datasets", b"--address", b"--gpus-per-run", b"--data-dir"):
        assert option in help_text.stdout


def test_the_next_command_is_that_of_a_launch():
    assert Options().launch() == []
    options = Options(
        storage="s3://b/r", study="one", datasets=("toy", "ptb"), gpus_per_run=0.25, timeout=5.0
    )
    assert options.launch() == [
        *("--storage", "s3://b/r", "--study", "one", "--gpus-per-run", "0.25"),
        *("--datasets", "toy", "ptb"),
    ]


def test_data_that_cannot_be_used_are_reported_without_starting_ray(tmp_path, monkeypatch, capsys):
    import sweeps.cluster.connect

    def started(*arguments, **options):
        raise AssertionError("Ray is started")

    monkeypatch.setattr(sweeps.cluster.connect, "cluster", started)
    assert main(["--datasets", "toy", "mine"]) == 2
    out = capsys.readouterr().out
    assert "unknown dataset 'mine'" in " ".join(out.split())
    assert out.splitlines()[-1] == f"fix what has failed, then: python {SCRIPT} --datasets toy mine"


def test_each_dataset_is_loaded_and_its_problems_are_reported(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for split, count in (("train", 1), ("valid", 1), ("test", 3)):
        (folder / f"{split}.txt").write_text(f"a sentence to {split} with\n" * count)
    found, sizes = load(["toy", "ptb", "mine"], None)
    states = [(finding.state, finding.detail) for finding in found]
    assert sizes.keys() == {"toy", "mine"}
    # 4 bytes per token, 8 per offset (one more than sentences): each sentence has 5 words and its end.
    assert sizes["mine"] == 4 * 6 * 5 + 8 * (2 + 2 + 4)
    assert states[0][0] == "ok"
    assert states[0][1].startswith("toy: 400 sentences")
    assert states[1][0] == "failure"
    assert states[1][1].startswith("ptb: no train file")
    assert states[2][0] == "ok"
    assert [state for state, detail in states[3:]] == ["warning"] * len(states[3:])
    assert any("swapped" in detail for _, detail in states[3:])


def folder(study: Study, seed: int) -> RunFolder:
    config = RunConfig(dataset="toy", seed=seed)
    run = study.run(f"toy__lstm-vae__standard__L1__seed{seed}__0123abcd")
    run.write_config(config, "0123abcd" + "0" * 56)
    run.write_metrics([{"epoch": 1, "valid_ppl": 2.5}])
    run.write_checkpoint(b"state")
    return run


def test_run_folders_are_counted_and_damaged_files_named(tmp_path):
    study = Study(str(tmp_path / "study"))
    done, failed, cut, torn = (folder(study, seed) for seed in range(4))
    done.write_json("result.json", {"fingerprint": "x"})
    failed.write_failure("code", "it broke", "")
    (tmp_path / "study" / "notes.txt").write_text("not a run")
    (tmp_path / "study" / cut.name / ".result.json.0123456789abcdef").write_bytes(b"{")
    (tmp_path / "study" / cut.name / "config.json.damaged-1").write_bytes(b"{")
    (fine, half, aside) = check_run_folders(study)
    assert [finding.state for finding in (fine, half, aside)] == ["ok"] * 3
    assert fine.detail == "4 run folders: 1 done, 1 failed, 2 unfinished"
    assert half.detail.startswith("half-written files: 1,")
    assert aside.detail.endswith(": 1")

    for name in ("config.json", "metrics.jsonl", "checkpoint.pt"):
        path = tmp_path / "study" / torn.name / name
        path.write_bytes(path.read_bytes()[:-3])
    before = sorted(tmp_path.rglob("*"))
    damages = [finding for finding in check_run_folders(study) if finding.state == "warning"]
    assert {finding.where for finding in damages} == {torn.name}
    assert sorted(finding.detail.partition(":")[0] for finding in damages) == [
        *("checkpoint.pt", "config.json", "metrics.jsonl")
    ]
    assert all("damaged" in finding.detail for finding in damages)
    assert sorted(tmp_path.rglob("*")) == before


def test_empty_folders_that_were_made_are_removed(tmp_path):
    with removing_new_folders(str(tmp_path / "a" / "b")):
        (tmp_path / "a" / "b").mkdir(parents=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    with removing_new_folders(str(tmp_path / "kept" / "b")):
        (tmp_path / "kept" / "b").mkdir()
        (tmp_path / "kept" / "b" / "file").touch()
    assert (tmp_path / "kept" / "b" / "file").exists()
    with contextlib.suppress(ZeroDivisionError), removing_new_folders(str(tmp_path / "c")):
        (tmp_path / "c").mkdir()
        raise ZeroDivisionError
    assert not (tmp_path / "c").exists()
    with removing_new_folders(str(tmp_path / "empty")):
        pass
    assert not (tmp_path / "empty").exists()
    (tmp_path / "there").mkdir()
    with removing_new_folders(str(tmp_path / "there")):
        pass
    assert (tmp_path / "there").exists()


def test_the_table_prints_brackets_literally():
    out = Console(file=io.StringIO(), width=120)
    findings = [
        Finding(check="runs", where="[red]x", state="warning", detail="[bold]odd", remedy="[/] mend"),
        Finding(check="storage", where="node 10.0.0.7", state="failure", detail="does not see /x"),
    ]
    show(findings, "next: [command]", out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    for words in ("[red]x", "[bold]odd; [/] mend", "node 10.0.0.7", "failure", "next: [command]"):
        assert words in text
