"""Damaged files are found, named in one line and set aside, and the run ends with undamaged results.

Each case damages one random file of a run folder (flips a bit, cuts off the end, overwrites a part, empties
it, or replaces it by another run's file) and starts the run again.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from .small_run import SEED, SmallRun, outcome

DONE = ("config.json", "metrics.jsonl", "result.json", "failure.json")
"""Files that a finished run reads when it is started again."""
STOPPED = (
    "config.json",
    "metrics.jsonl",
    "checkpoint.pt",
    "checkpoint.previous.pt",
    "provenance.json",
    "failure.json",
)
SWAP_IS_NO_DAMAGE = ("config.json", "result.json", "failure.json", "provenance.json")
"""Files that are refused or accepted, but not set aside, if they are intact and another run's."""
FEW, MANY = 8, 220


@pytest.fixture(scope="module")
def templates(small_run) -> dict[str, Path]:
    """A finished run, a run that was stopped in its second epoch, and a finished run of another seed."""
    done, stopped, other = (small_run.folder / name for name in ("done", "stopped", "other"))
    assert small_run.run(done, count=str(small_run.folder / "count")) == 0, small_run.log(done)
    operations = int((small_run.folder / "count").read_text())
    for kill_at in range(operations * 3 // 4, operations):
        shutil.rmtree(stopped, ignore_errors=True)
        small_run.run(stopped, kill_at=kill_at)
        if {"checkpoint.pt", "checkpoint.previous.pt", "metrics.jsonl"} <= set(os.listdir(stopped)):
            break
    arguments = [*small_run.arguments(other), "--set", "seed=1"]
    assert small_run.zygote.run(*arguments, log=small_run.folder / "other.log") == 0
    for folder in (done, stopped, other):
        failure = {"class": "code", "attempt": 1, "message": "m", "traceback": "t"}
        (folder / "failure.json").write_bytes(with_digest(failure))
    return {"done": done, "stopped": stopped, "other": other}


def with_digest(value: dict) -> bytes:
    """Return a file in the project's format, written by hand."""
    import hashlib

    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**value, "sha256": hashlib.sha256(canonical).hexdigest()}).encode()


def damage(data: bytes, other: bytes, dice: random.Random) -> tuple[str, bytes]:
    """Return a random kind of damage and the damaged data."""
    kind = dice.choice(["flip", "cut", "overwrite", "empty", "zeros", "swap"])
    at = dice.randrange(len(data))
    if kind == "flip":
        return kind, data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if kind == "cut":
        return kind, data[:at]
    if kind == "overwrite":
        return kind, data[:at] + dice.randbytes(min(16, len(data) - at)) + data[at + 16 :]
    return kind, {"empty": b"", "zeros": bytes(len(data)), "swap": other}[kind]


def is_same_json(before: bytes, after: bytes) -> bool:
    """Whether the JSON values are equal, as after 1e5 becomes 1E5 or the last newline is lost."""
    try:
        return [json.loads(line) for line in before.splitlines()] == [
            json.loads(a) for a in after.splitlines()
        ]
    except ValueError:
        try:
            return bool(json.loads(before) == json.loads(after))
        except ValueError:
            return False


def damage_and_resume(small_run: SmallRun, templates: dict[str, Path], number: int) -> str:
    """Test one case and return its description."""
    dice = random.Random(f"{SEED} {number}")
    state = ("done", "stopped")[number % 2]
    file = dice.choice(DONE if state == "done" else STOPPED)
    out = small_run.folder / f"case-{number}"
    shutil.copytree(templates[state], out)
    if file == "checkpoint.previous.pt":  # it is read only if the latest checkpoint cannot be read
        (out / "checkpoint.pt").write_bytes(b"")
    before = (out / file).read_bytes()
    while True:
        kind, after = damage(before, (templates["other"] / file).read_bytes(), dice)
        if after == before or is_same_json(before, after) or (kind == "swap" and file in SWAP_IS_NO_DAMAGE):
            continue
        break
    case = f"{number}: {kind} {state} {file}"
    (out / file).write_bytes(after)
    assert small_run.run(out) == 0, f"{case}\n{small_run.log(out)}"
    log = small_run.log(out)
    assert outcome(out) == outcome(templates["done"]), f"{case}\n{log}"
    assert "Traceback" not in log, f"{case}\n{log}"
    messages = [line for line in log.splitlines() if f"/{file}: " in line]
    assert len(messages) == 1, f"{case}\n{log}"
    assert "set aside as " in messages[0], case
    aside = out / messages[0].partition("set aside as ")[2].split(",")[0].split(";")[0]
    assert aside.read_bytes() == after, f"{case}: the damaged file is kept unchanged"
    shutil.rmtree(out)
    return case


def test_a_run_survives_damage_to_one_of_its_files(small_run, templates):
    for number in range(FEW):
        print(damage_and_resume(small_run, templates, number))


@pytest.mark.slow
def test_a_run_survives_damage_in_two_hundred_random_cases(small_run, templates):
    for number in range(FEW, FEW + MANY):
        print(damage_and_resume(small_run, templates, number))


def test_an_intact_config_of_another_run_is_refused(small_run, templates):
    out = small_run.folder / "foreign"
    shutil.copytree(templates["stopped"], out)
    shutil.copy(templates["other"] / "config.json", out)
    assert small_run.run(out) == 2
    assert "config.json: belongs to another run" in small_run.log(out)


def test_an_intact_result_of_another_run_is_refused(small_run, templates):
    out = small_run.folder / "foreign-result"
    shutil.copytree(templates["stopped"], out)
    shutil.copy(templates["other"] / "result.json", out)
    assert small_run.run(out) == 2
    assert "result.json: not the result of this run" in small_run.log(out)
