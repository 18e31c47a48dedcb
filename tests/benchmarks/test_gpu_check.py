"""The command for a GPU on a CPU: it needs torch and numpy alone, keeps its limits and can be stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gpu.checks import values
from gpu.command import main
from gpu.driver import run_part
from gpu.estimate import CELLS, EPOCHS, SEEDS, START_SECONDS, estimate
from gpu.parts import ENOUGH_SECONDS, PARTS, Part, limit
from gpu.records import Settings, check

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--device", "cpu"]

BARE = """
import importlib.metadata
import re
import sys

ALLOWED = {"torch", "torchgen", "functorch", "numpy", "lvae_core", "gpu", "speed", "sitecustomize"}
with_torch = importlib.metadata.requires("torch") or []  # pip installs them, too
ALLOWED |= {re.match("[A-Za-z0-9_-]+", line)[0].replace("-", "_") for line in with_torch}
ALLOWED |= {"mpmath", "markupsafe"}


class Bare:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        own = top in ALLOWED or top in sys.stdlib_module_names or top.startswith(("__edit", "_sysconfig"))
        return self.finder.find_spec(name, path, target) if own else None


sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
"""
"""Makes every process that starts with it unable to import what a machine with torch and numpy lacks."""


def bare(place: Path) -> dict[str, str]:
    """Return the environment of a machine that has torch and numpy alone."""
    (place / "sitecustomize.py").write_text(BARE)
    return {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow  # test_gpu_parts.py tests each part, test_a_stopped_command the command
@pytest.mark.timeout(700)  # seconds on a quiet machine; limits of parts are not what is tested
def test_every_part_runs_on_a_machine_with_torch_and_numpy_alone(tmp_path):
    environment, file = bare(tmp_path), tmp_path / "found.json"
    lacking = subprocess.run(
        [sys.executable, "-c", "import rich"], env=environment, capture_output=True, text=True, check=False
    )
    assert "No module named 'rich'" in lacking.stderr
    subjects = [
        "lstm-vae-avg, inputless",
        "dropout",
        "steps that wait",
        "L = 5",
        "lstm-lm/standard",
        "1 at once",
    ]
    done = subprocess.run(
        [*COMMAND, "--minutes", "10", *(f"--only={text}" for text in subjects), "--json", str(file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = json.loads(file.read_text())
    assert (done.returncode, found["failed"], found["state"]) == (0, [], "done"), done.stdout
    assert [part.name for part in PARTS] == list(dict.fromkeys(r["part"] for r in found["records"]))
    names = {record["name"] for record in found["records"] if record["passed"]}
    resumed = "lstm-vae-avg, L = 5, float32: killed and resumed"
    assert names == {
        *("device", "dropout", resumed),
        *(f"lstm-vae-avg, inputless, {precision}" for precision in ("float32", "bfloat16")),
    }
    assert "cannot be seen on a CPU" in done.stdout
    timed = [r for r in found["records"] if r["part"] in ("timing", "packing") and "case" in r]
    assert [r["variant"] for r in timed] == ["plain", "ours float32", "ours bfloat16", "ours float32"]
    assert all(r["tokens_per_second"] > 0 for r in timed)


@pytest.mark.slow
def test_the_whole_command_ends_within_its_two_minutes_with_every_part_reported(tmp_path):
    file = tmp_path / "found.json"
    done = subprocess.run(
        [*COMMAND, "--minutes", "2", "--json", str(file)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = json.loads(file.read_text())
    assert (done.returncode, found["failed"], found["state"]) == (0, [], "done"), done.stdout
    # Even on a busy machine: a part is ended at its limit, and the limits add up to two minutes.
    assert found["seconds"] < 150
    reported = list(dict.fromkeys(record["part"] for record in found["records"]))
    assert [name for name in reported if name != "estimate"] == [part.name for part in PARTS]


def with_environment(text: str) -> list[str]:
    """Return the processes that have ``text`` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            if text.encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


@pytest.mark.slow  # test_a_part_is_ended_at_its_limit ends a process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_stopped_command_leaves_what_it_has_found_and_no_process(number, tmp_path):
    file = tmp_path / "found.json"
    command = [*COMMAND, "--parts", "values,properties,determinism", "--json", str(file)]
    marked = {**os.environ, "GPU_CHECK_TEST": str(file)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=marked
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if " ok " in line:
                break
        process.send_signal(number)
        rest, errors = process.stdout.read(), process.stderr.read()
    assert (process.returncode, errors) == (130, "")
    assert "\nstopped: " in rest
    found = json.loads(file.read_text())
    assert found["state"] == "stopped"
    assert found["passed"] == len(found["records"]) >= 1
    assert with_environment(str(file)) == []


def test_an_unexpected_fault_is_one_line_and_leaves_what_was_found(tmp_path, monkeypatch, capsys):
    def broken(part, seconds, given):
        yield {"part": part.name, "name": "first", "passed": True, "text": "holds"}
        raise ZeroDivisionError("division by zero")

    file = tmp_path / "found.json"
    monkeypatch.setattr("gpu.command.run_part", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["--device", "cpu", "--json", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected ZeroDivisionError: division by zero (traceback: ")
    found = json.loads(file.read_text())
    assert (found["state"], [record["name"] for record in found["records"]]) == ("stopped", ["first"])


def test_a_part_is_ended_at_its_limit():
    records = list(run_part(Part("values", "gpu.checks.values", "", 1), 0.5, ["--tiny"]))
    assert [record["text"] for record in records] == ["ended at its limit of 0 s"]
    assert records[0]["cut"]


def test_a_part_that_breaks_is_a_failure_with_its_last_line():
    records = list(run_part(Part("broken", "gpu.no_such_part", "", 1), 60, []))
    assert [record["passed"] for record in records] == [False]
    assert "ended with status 1: " in records[0]["text"]
    assert "No module named gpu.no_such_part" in records[0]["text"]


def test_a_check_that_finds_a_difference_fails_with_one_line(monkeypatch):
    settings = Settings("cpu", 60, tiny=True)
    right = values.objective

    def wrong(*args, **kwargs):
        terms = right(*args, **kwargs)
        return terms._replace(loss=terms.loss * 1.001)

    monkeypatch.setattr(values, "objective", wrong)
    record = check("x", lambda: values.compare("lstm-vae", "standard", "float32", settings, {}))
    assert not record["passed"]
    assert record["text"].startswith("loss, bound or KL off by 1.")
    broken = check("y", lambda: str(1 / 0))
    assert (broken["passed"], broken["text"]) == (False, "ZeroDivisionError: division by zero")


def test_time_that_a_part_leaves_is_shared_by_those_after_it():
    left, used = 480.0, []
    for k in range(len(PARTS)):
        used.append(limit(PARTS[k:], left))
        left -= used[-1]
    assert left == pytest.approx(0)
    assert min(used) >= ENOUGH_SECONDS
    assert limit(PARTS[-1:], 300.0) == 300.0
    assert limit(PARTS, 4.0) == 4.0


def test_the_estimate_adds_up_sixty_runs():
    assert len(CELLS) * SEEDS == 60
    names = {f"ptb/{system}" + (f"/L{L}" if L else "") for system, L, _ in CELLS}
    timings = [
        {"case": f"{name}/standard", "variant": "v", "tokens_per_second": 1e5, "ratio_to_plain": None}
        for name in names
    ]
    evaluations = [
        {"case": case, "variant": "e", "tokens_per_second": speed, "ratio_to_plain": None}
        for case, speed in (
            ("ptb/lstm-vae/iw500/standard", 8243.0),
            ("ptb/lstm-vae-avg/L10/iw500/standard", 824.3),
        )
    ]
    packed = [{"variant": "v", "gain": gain, "tokens_per_second": 1.0} for gain in (1.0, 4.0, 3.0)]
    found = estimate([*timings, *evaluations, *packed], "v", "e")
    training = 60 * EPOCHS * (929_589 + 73_760 / 3) / 1e5
    expected = training + 60 * START_SECONDS + 30 * 10 + 20 * 100
    assert found is not None
    assert found.hours == pytest.approx(expected / 3600)
    assert found.packed_hours == pytest.approx(expected / 3600 / 4)
    assert estimate(timings, "v", "e") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes 0.0: must be a number above 0"),
        (["--minutes", "nan"], "--minutes nan: must be a number above 0"),
        (["--parts", "speed"], "unknown part 'speed'"),
        (["--device", "nowhere"], "device 'nowhere': not usable here"),
        (["--device"], "argument --device: expected one argument; a value that begins with -"),
        (["--minutes", "x"], "argument --minutes: invalid float value: 'x'; see gpu_check.py --help"),
        (["--bogus"], "unrecognized arguments: --bogus; see gpu_check.py --help"),
        (["--json", "/no/such/folder/found.json"], "cannot be written (No such file or directory)"),
    ],
)
def test_bad_input_gets_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--device", "cpu", *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert list(tmp_path.iterdir()) == []  # gpu_check.json, for example
