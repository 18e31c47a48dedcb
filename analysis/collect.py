"""Run folders -> one tidy frame, a row a run. Reads each file once and never stops at a damaged one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pandas as pd

from analysis.studies import Source
from lvae_core.config import InputError, RunConfig, dataset_label, fingerprint, from_dict
from lvae_core.record import ESTIMATES, DamagedError, RunFolder, RunName, run_name

IDENTITY = ("dataset", "system", "setting", "num_samples", "seed")
"""What a run folder's name says of it."""

CONFIG_FIELDS = tuple(f.name for f in fields(RunConfig) if f.name not in IDENTITY)
"""The config fields that can make two runs of one cell differ."""

STATUSES = ("done", "failed", "unfinished", "damaged")

# Of the same run in two studies the one that says most is kept.
_PREFERENCE = {"done": 0, "failed": 1, "unfinished": 2, "damaged": 3}

_COUNTS = ("tokens", "sentences", "parameters", "best_epoch", "epochs", "steps")
_TIMES = ("train_seconds", "evaluate_seconds")

_REMOTE_READERS = 32

_DTYPES = {int: "Int64", float: "Float64", bool: "boolean"}


@dataclass(frozen=True)
class Runs:
    """What was found."""

    frame: pd.DataFrame
    """One row a run, sorted by what its name says; what is not known is NA. Columns: study, run (its name,
    or where it lies if it has another), the name's parts, status, fingerprint, data_sha256, numerics
    ("current", or where the fingerprint is not what this version of lvae_core gives to that config and
    data: the version that provenance.json names, or "other"), each estimate and its ``_stderr``,
    failure_class, failure_attempt, message, the counts and times of result.json, what provenance.json
    says of the last attempt, and every config field."""
    studies: tuple[str, ...]
    problems: tuple[str, ...]
    """One line for each file that cannot be what was written."""
    duplicates: int
    """Runs left out because the same run is there once more."""


def collect(sources: Sequence[Source], advance: Callable[[int, int], None] | None = None) -> Runs:
    """Read all runs of ``sources``; ``advance(read, total)`` is told how far it is."""
    distinct = {source.url: source for source in sources}
    folders = [(source, folder) for source in distinct.values() for folder in source.folders]
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for row, complaints in _read_all([folder for _, folder in folders]):
        rows.append(row)
        problems += complaints
        if advance:
            advance(len(rows), len(folders))
    for row, (source, _) in zip(rows, folders, strict=True):
        row["study"] = source.url
    kept, conflicts = _once(rows)
    return Runs(_frame(kept), tuple(distinct), tuple(problems + conflicts), len(rows) - len(kept))


def _read_all(folders: Sequence[RunFolder]) -> Iterable[tuple[dict[str, Any], list[str]]]:
    if not any("://" in folder.store.url for folder in folders):
        # From a local disk one thread is the fastest: the time goes into parsing, not waiting.
        yield from map(read_run, folders)
        return
    with ThreadPoolExecutor(_REMOTE_READERS) as pool:
        yield from pool.map(read_run, folders)


def read_run(folder: RunFolder) -> tuple[dict[str, Any], list[str]]:
    """One row of the frame, and a line for each damaged file."""
    name = RunName.parse(folder.name)
    row: dict[str, Any] = {"run": folder.name if name else str(folder)}
    if name:
        row |= {key: getattr(name, key) for key in (*IDENTITY, "fingerprint")}
    problems = []
    try:
        row |= _facts(folder)
    except (DamagedError, OSError) as error:
        row |= {"status": "damaged", "message": one_line(str(error))}
        problems.append(one_line(str(error)))
    try:
        provenance = _provenance(folder.read_json("provenance.json") or {})
        numerics = provenance.pop("numerics", "other")
        if row.get("numerics") == "other":
            row["numerics"] = numerics
        row |= provenance
    except (DamagedError, OSError) as error:
        # Its numbers stand without it; the run keeps its status.
        problems.append(one_line(str(error)))
    return row, problems


@functools.lru_cache(maxsize=1024)
def one_line(text: str) -> str:
    """Text from a file made safe for a table or terminal: one line, nothing that does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _facts(folder: RunFolder) -> dict[str, Any]:
    result = folder.read_json("result.json")
    if result is not None:
        return {"status": "done", **_result(folder, result)}
    failure = folder.read_json("failure.json")
    present = folder.read_config()
    row: dict[str, Any] = {"status": "unfinished"}
    if failure is not None:
        row = {
            "status": "failed",
            "failure_class": one_line(str(failure.get("class", "unknown"))),
            "failure_attempt": _number(folder, "failure.json", failure, "attempt", whole=True),
            "message": one_line(str(failure.get("message", ""))),
        }
    if present is not None:
        config, identity = present
        if RunName.parse(folder.name) and folder.name != run_name(config, identity):
            raise DamagedError(f"{folder}/config.json: damaged, it is the config of another run")
        row |= _config_columns(config)
    return row


def _result(folder: RunFolder, result: Mapping[str, Any]) -> dict[str, Any]:
    config = _config(folder, "result.json", result.get("config"))
    identity, data = str(result.get("fingerprint")), str(result.get("data_sha256"))
    name = run_name(config, identity)
    if RunName.parse(folder.name) and name != folder.name:
        raise DamagedError(f"{folder}/result.json: damaged, it is the result of another run")
    row = _config_columns(config)
    row |= {
        "run": name,
        "fingerprint": identity,
        "data_sha256": data,
        "numerics": "current" if fingerprint(config, data) == identity else "other",
    }
    for key in (*_COUNTS, *_TIMES):
        if key in result or key in ("tokens", "sentences"):
            row[key] = _number(folder, "result.json", result, key, whole=key in _COUNTS)
    estimates = result.get("estimates")
    if not isinstance(estimates, dict):
        raise DamagedError(f"{folder}/result.json: damaged, it has no estimates")
    main = "nll" if config.encoder == "none" else "nll_elbo"
    if main not in estimates:
        raise DamagedError(f"{folder}/result.json: damaged, it has no {main}")
    for name in ESTIMATES:
        if name not in estimates:
            continue
        estimate = estimates[name]
        if not isinstance(estimate, dict):
            raise DamagedError(f"{folder}/result.json: damaged, estimate {name} is not an object")
        row[name] = _number(folder, "result.json", estimate, "value", of=name)
        if "stderr" in estimate:
            row[f"{name}_stderr"] = _number(folder, "result.json", estimate, "stderr", of=name)
    return row


def _config_columns(config: RunConfig) -> dict[str, Any]:
    columns = {name: getattr(config, name) for name in (*CONFIG_FIELDS, *IDENTITY)}
    return columns | {"dataset": dataset_label(config.dataset)}


def _config(folder: RunFolder, file: str, values: Any) -> RunConfig:
    if not isinstance(values, dict):
        raise DamagedError(f"{folder}/{file}: damaged, it holds no config")
    try:
        return from_dict(values)
    except InputError as error:
        raise DamagedError(f"{folder}/{file}: damaged or foreign config ({error})") from None


def _number(
    folder: RunFolder, file: str, values: Mapping[str, Any], key: str, *, of: str = "", whole: bool = False
) -> float:
    value = values.get(key)
    # JSON as Python reads it knows NaN and Infinity, and True is an int.
    if type(value) is int and abs(value) < 2**63:
        return value
    if type(value) is float and math.isfinite(value) and not whole:
        return value
    what, kind = f"{of}.{key}" if of else key, "whole" if whole else "finite"
    raise DamagedError(f"{folder}/{file}: damaged, {what} is {value!r}, not a {kind} number")


def _provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    attempts = provenance.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts else provenance
    if not isinstance(last, dict):
        return {}
    row = {key: one_line(str(last[key])) for key in ("commit", "host", "device") if key in last}
    if isinstance(last.get("dirty"), bool):
        row["dirty"] = last["dirty"]
    versions = last.get("versions")
    if isinstance(versions, dict):
        if "numerics" in versions:
            row["numerics"] = one_line(str(versions["numerics"]))
        row["versions"] = one_line(", ".join(f"{name} {version}" for name, version in versions.items()))
    return row


def _once(rows: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    kept: dict[str, dict[str, Any]] = {}
    conflicts = []
    for row in rows:
        earlier = kept.get(row["run"])
        if earlier is None or _PREFERENCE[row["status"]] < _PREFERENCE[earlier["status"]]:
            kept[row["run"]] = row
        elif row["status"] == "done" and any(row.get(e) != earlier.get(e) for e in ESTIMATES):
            conflicts.append(
                f"{row['run']}: its numbers in {row['study']} are not those in {earlier['study']}; "
                "the latter are used"
            )
    return list(kept.values()), conflicts


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    dtypes: dict[str, str] = {
        **dict.fromkeys(("study", "run", "dataset", "system", "setting"), "string"),
        **dict.fromkeys(("num_samples", "seed"), "Int64"),
        **dict.fromkeys(("status", "fingerprint", "data_sha256", "numerics"), "string"),
        **{column: "Float64" for name in ESTIMATES for column in (name, f"{name}_stderr")},
        "failure_class": "string",
        "failure_attempt": "Int64",
        "message": "string",
        **dict.fromkeys(_COUNTS, "Int64"),
        **dict.fromkeys(_TIMES, "Float64"),
        **dict.fromkeys(("commit", "versions", "host", "device"), "string"),
        "dirty": "boolean",
    }
    types = get_type_hints(RunConfig)
    dtypes |= {name: _DTYPES.get(types[name], "string") for name in CONFIG_FIELDS}
    columns = {
        name: pd.array([row.get(name) for row in rows], dtype=dtype)  # type: ignore[call-overload]
        for name, dtype in dtypes.items()
    }
    frame = pd.DataFrame(columns)
    return frame.sort_values([*IDENTITY, "run"], ignore_index=True)
