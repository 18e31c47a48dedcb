"""Files that are not what was written: found, named in one line, set aside, and the run ends as if whole.

Every case damages one file of a run folder at random (a bit flipped, the end cut off, a part overwritten,
all of it gone but for its name, another run's file in its place) and starts the run again.
"""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from .place import SEED, Place, outcome

DONE = ("config.json", "metrics.jsonl", "result.json", "failure.json")
"""Files of a finished run that starting it again reads."""
STOPPED = (
    "config.json",
    "metrics.jsonl",
    "checkpoint.pt",
    "checkpoint.previous.pt",
    "provenance.json",
    "failure.json",
)
WHOLE = ("config.json", "result.json", "failure.json", "provenance.json")
"""Files that are refused, or believed, where they are whole and another run's."""
FEW, MANY = 20, 220


@pytest.fixture(scope="module")
def templates(place) -> dict[str, Path]:
    """A finished run, one that was stopped in its second epoch, and a finished one of another seed."""
    done, stopped, other = (place.folder / name for name in ("done", "stopped", "other"))
    assert place.run(done, count=str(place.folder / "count")) == 0, place.log(done)
    operations = int((place.folder / "count").read_text())
    for kill_at in range(operations * 3 // 4, operations):
        shutil.rmtree(stopped, ignore_errors=True)
        place.run(stopped, kill_at=kill_at)
        if {"checkpoint.pt", "checkpoint.previous.pt", "metrics.jsonl"} <= set(os.listdir(stopped)):
            break
    arguments = [*place.arguments(other), "--set", "seed=1"]
    assert place.zygote.run(*arguments, log=place.folder / "other.log") == 0
    for folder in (done, stopped, other):
        failure = {"class": "code", "attempt": 1, "message": "m", "traceback": "t"}
        (folder / "failure.json").write_bytes(sealed(failure))
    return {"done": done, "stopped": stopped, "other": other}


def sealed(value: dict) -> bytes:
    """What the project's files look like, written by hand."""
    import hashlib

    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**value, "sha256": hashlib.sha256(canonical).hexdigest()}).encode()


def damage(data: bytes, other: bytes, dice: random.Random) -> tuple[str, bytes]:
    """A kind of damage and what it makes of ``data``."""
    kind = dice.choice(["flip", "cut", "overwrite", "empty", "zeros", "swap"])
    at = dice.randrange(len(data))
    if kind == "flip":
        return kind, data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if kind == "cut":
        return kind, data[:at]
    if kind == "overwrite":
        return kind, data[:at] + dice.randbytes(min(16, len(data) - at)) + data[at + 16 :]
    return kind, {"empty": b"", "zeros": bytes(len(data)), "swap": other}[kind]


def says_the_same(before: bytes, after: bytes) -> bool:
    """A flip may turn the e of an exponent into an E, and a cut may take the last newline alone."""
    try:
        return [json.loads(line) for line in before.splitlines()] == [
            json.loads(a) for a in after.splitlines()
        ]
    except ValueError:
        try:
            return bool(json.loads(before) == json.loads(after))
        except ValueError:
            return False


def corrupt_and_go_on(place: Place, templates: dict[str, Path], number: int) -> str:
    """One case; returns what was done to which file."""
    dice = random.Random(f"{SEED} {number}")
    state = ("done", "stopped")[number % 2]
    file = dice.choice(DONE if state == "done" else STOPPED)
    out = place.folder / f"case-{number}"
    shutil.copytree(templates[state], out)
    if file == "checkpoint.previous.pt":  # it is read where the last one cannot be
        (out / "checkpoint.pt").write_bytes(b"")
    before = (out / file).read_bytes()
    while True:
        kind, after = damage(before, (templates["other"] / file).read_bytes(), dice)
        if after == before or says_the_same(before, after) or (kind == "swap" and file in WHOLE):
            continue
        break
    case = f"{number}: {kind} {state} {file}"
    (out / file).write_bytes(after)
    assert place.run(out) == 0, f"{case}\n{place.log(out)}"
    log = place.log(out)
    assert outcome(out) == outcome(templates["done"]), f"{case}\n{log}"
    assert "Traceback" not in log, f"{case}\n{log}"
    told = [line for line in log.splitlines() if f"/{file}: " in line]
    assert len(told) == 1, f"{case}\n{log}"
    assert "set aside as " in told[0], case
    aside = out / told[0].partition("set aside as ")[2].split(",")[0].split(";")[0]
    assert aside.read_bytes() == after, f"{case}: kept as it was found"
    shutil.rmtree(out)
    return case


def test_a_few_random_corruptions(place, templates):
    for number in range(FEW):
        print(corrupt_and_go_on(place, templates, number))


@pytest.mark.slow
def test_two_hundred_random_corruptions_and_more(place, templates):
    for number in range(FEW, FEW + MANY):
        print(corrupt_and_go_on(place, templates, number))


def test_a_whole_config_of_another_run_is_refused(place, templates):
    out = place.folder / "foreign"
    shutil.copytree(templates["stopped"], out)
    shutil.copy(templates["other"] / "config.json", out)
    assert place.run(out) == 2
    assert "config.json: belongs to another run" in place.log(out)


def test_a_whole_result_of_another_run_is_refused(place, templates):
    out = place.folder / "foreign-result"
    shutil.copytree(templates["stopped"], out)
    shutil.copy(templates["other"] / "result.json", out)
    assert place.run(out) == 2
    assert "result.json: not the result of this run" in place.log(out)
