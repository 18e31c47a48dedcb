"""--watch in a child process: it follows a growing study and ends cleanly."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.collect import Runs
from analysis.reading.watch import watch_runs
from lvae_core.messages import printed

from ...commands import python
from ..conftest import WriteRun

ROOT = Path(__file__).resolve().parents[3]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


def test_the_page_follows_the_study_until_ctrl_c(tmp_path: Path, write_run: WriteRun) -> None:
    (tmp_path / "study").mkdir()  # as a sweep does before it starts Ray
    page = tmp_path / "out" / "report.html"
    command = [
        *python(),
        "-W",
        "error",
        str(ROOT / "analysis" / "summarize.py"),
        "study",
        "--out",
        "out",
    ]
    command += ["--watch", "--every", "1", "--no-figures", "--no-samples"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().endswith("waiting for the first run\n")
        write_run("lstm-lm", seed=0)
        wait_for(lambda: page.exists() and "n = 1, mean 100" in page.read_text(), process)
        assert 'http-equiv="refresh" content="1"' in page.read_text()
        write_run("lstm-lm", seed=1, estimates={"nll": 102.0, "ppl": 91.0})
        wait_for(lambda: "n = 2, mean 101" in page.read_text(), process)
        # Watching continues while the study cannot be reached.
        (tmp_path / "study").rename(tmp_path / "away")
        time.sleep(2.5)
        assert process.poll() is None
        (tmp_path / "away").rename(tmp_path / "study")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "1 done: out/report.html" in errors
    assert "2 done: out/report.html" in errors
    assert "; trying again" in errors
    assert errors.splitlines()[-1].endswith("stopped watching")
    assert "Traceback" not in errors
    # The last page does not reload itself.
    assert 'http-equiv="refresh"' not in page.read_text()
    assert "n = 2, mean 101" in page.read_text()


def test_ctrl_c_ends_watching_even_if_a_library_swallows_the_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame({"run": ["a"], "status": ["done"]})
    made, looks = [], []

    def read() -> list[Runs]:
        looks.append(1)
        if len(looks) == 2:
            with contextlib.suppress(BaseException):
                signal.raise_signal(signal.SIGINT)
        return [Runs(frame, ("study",), (), 0)]

    before = signal.getsignal(signal.SIGINT)
    with printed():
        watch_runs(read, made.append, lambda: made.append([]), 0.01)
    assert len(looks) == 2
    assert len(made) == 2  # one summary, and the last one
    assert signal.getsignal(signal.SIGINT) is before
    assert "stopped watching" in capsys.readouterr().err
