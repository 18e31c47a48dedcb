"""What `make` installs and runs, without doing it; and that what the commands write disturbs no check."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def planned(target: str, venv: Path, *ready: str) -> str:
    """The commands that make would run, if these of its stamps were there."""
    venv.mkdir(exist_ok=True)
    for name in ready:
        (venv / name).touch()
    command = ["make", "--dry-run", target, f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def installed(commands: str) -> list[str]:
    return re.findall(r"-e '\.\[(.*?)\]'", commands)


def test_the_demo_installs_only_what_the_commands_need_and_says_what_it_does(tmp_path: Path) -> None:
    commands = planned("demo", tmp_path / "v")
    assert installed(commands) == ["sweeps,analysis"]
    assert sorted({*re.findall(r"\[\d/\d\]", commands)}) == ["[1/3]", "[2/3]", "[3/3]"]
    assert "--preset demo" in commands
    assert commands.count("venv --clear") == 1


def test_the_tests_add_what_they_need_to_the_environment_of_the_demo(tmp_path: Path) -> None:
    commands = planned("test", tmp_path / "v", ".installed")
    assert installed(commands) == ["sweeps,analysis,test"]
    assert "venv --clear" not in commands
    assert installed(planned("test", tmp_path / "v", ".installed", ".installed-for-tests")) == []


def test_an_environment_that_is_made_for_the_tests_gets_everything_at_once(tmp_path: Path) -> None:
    first, then = planned("test", tmp_path / "v").split("grep -q test", 1)
    assert installed(first) == ["sweeps,analysis,test"]
    assert installed(then) == ["sweeps,analysis,test"]
    assert then.lstrip().startswith(f"{tmp_path}/v/.installed || ")
    assert f"echo sweeps,analysis,test > {tmp_path}/v/.installed" in first


def test_changed_requirements_are_installed_into_the_environment_that_is_there(tmp_path: Path) -> None:
    venv, log = tmp_path / "v", tmp_path / "log"
    (venv / "bin").mkdir(parents=True)
    for name in ("python3", "v/bin/python"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n')
        (tmp_path / name).chmod(0o755)
    command = ["make", "setup", f"VENV={venv}", f"PYTHON={tmp_path}/python3", "PIP_INSTALL=echo pip"]
    made = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout]
    os.utime(venv / ".installed", (0, 0))  # as if pyproject.toml had changed
    made.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert log.read_text().count("-m venv --clear") == 1
    assert [text.count("pip -e .[sweeps,analysis]") for text in made] == [1, 1]
    assert "[1/3] keeping" in made[1]


def test_folders_that_commands_write_change_no_verdict_of_the_linter(tmp_path: Path) -> None:
    # A folder of a library's name would make the library look like a part of this project.
    for name in ("pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for folder in ("wandb", "runs", "summary", "tensorboard", "data"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "written.py").write_text("import sys,os\n")
    package = tmp_path / "sweeps"
    package.mkdir()
    (package / "module.py").write_text(
        "import tensorboard\nimport wandb\n\nfrom sweeps import other\n\nprint(tensorboard, wandb, other)\n"
    )
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "."]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
