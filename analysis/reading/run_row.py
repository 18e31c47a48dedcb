"""Read one run folder into one row; a damaged file becomes a status and a line, never an exception."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Any

from analysis.reading.frame import CONFIG_FIELDS, COUNTS, EVALUATION_FIELDS, IDENTITY, SHARED_FIELDS, TIMES
from lvae_core.config import RunConfig, dataset_label, from_dict
from lvae_core.errors import InputError, cannot_read
from lvae_core.identity import canonical_json, evaluation_id, fields_read, fingerprint, is_fingerprint
from lvae_core.run_folder.claims import is_under_way
from lvae_core.run_folder.estimates import ESTIMATES, diagnostics_of
from lvae_core.run_folder.evaluations import is_evaluation, read_evaluation
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.run_folder.names import RunName, run_name
from lvae_core.storage.retrying import is_transient

FILES = ("result.json", "provenance.json", "failure.json", "config.json")
"""The files that a row depends on, in addition to the presence of a claim."""

_TOO_LARGE = 2**63
"""The first whole number that does not fit into a column."""


def read_run(folder: RunFolder) -> tuple[dict[str, Any], list[str]]:
    """Read one row of the frame, and a line for each damaged file.

    Raises:
        InputError: the storage cannot be reached, so it is unknown whether the run is damaged.
    """
    name = RunName.parse(folder.name)
    row: dict[str, Any] = {"folder": one_line(folder.name), "run": one_line(str(folder))}
    if name:
        row["run"] = folder.name
        row |= {**vars(name.cell), "seed": name.seed, "fingerprint": name.fingerprint}
    problems: list[str] = []
    try:
        row |= _facts(folder, problems)
    except (DamagedError, OSError) as error:
        _raise_if_unreachable(folder, error)
        row |= {**_intact_config(folder), "status": "damaged", "message": one_line(str(error))}
        problems.append(f"{one_line(str(error))}; the sweep's command, run again, repairs the run")
    try:
        provenance = _provenance(folder.read_json("provenance.json") or {})
        numerics = provenance.pop("numerics", "other")
        if row.get("numerics") == "other":
            row["numerics"] = numerics
        row |= provenance
    except (DamagedError, OSError) as error:
        _raise_if_unreachable(folder, error)
        # The numbers are valid without their provenance: the run keeps its status.
        problems.append(one_line(str(error)))
    return row, problems


def _intact_config(folder: RunFolder) -> dict[str, Any]:
    """The config of a run with a damaged file, by which it counts to its variant; {} if that is damaged."""
    with contextlib.suppress(DamagedError, OSError):
        if (present := folder.read_config()) and folder.name == run_name(*present):
            return _config_columns(folder, "config.json", present[0])
    return {}


def _raise_if_unreachable(folder: RunFolder, error: DamagedError | OSError) -> None:
    # EIO from a disk means damage; S3's client raises it if the server fails.
    on_disk = isinstance(error, OSError) and error.errno == errno.EIO and "://" not in folder.store.url
    if isinstance(error, OSError) and is_transient(error) and not on_disk:
        raise cannot_read(folder, error) from None


@functools.lru_cache(maxsize=1024)
def one_line(text: str) -> str:
    """Make text from a file safe for a table or terminal: one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _facts(folder: RunFolder, problems: list[str]) -> dict[str, Any]:
    result = folder.read_json("result.json")
    if result is not None:
        return {"status": "done", **_result(folder, result, problems)}
    failure = folder.read_json("failure.json")
    present = folder.read_config()
    row: dict[str, Any] = {"status": "unfinished"}
    # A retry keeps failure.json until it gets past the failure, and counts as failed until then.
    if failure is None and is_under_way(folder):
        row = {"status": "running"}
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
        row |= _config_columns(folder, "config.json", config)
        if config.precision == "auto":
            row["precision"] = None  # its device resolves it, and the result records it
    return row


def _result(folder: RunFolder, result: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    config = _config(folder, "result.json", result.get("config"))
    identity, data = (_digest(folder, result, key) for key in ("fingerprint", "data_sha256"))
    name = run_name(config, identity)
    # A result that was copied into the wrong folder would be counted under the wrong cell.
    if RunName.parse(folder.name) and name != folder.name:
        raise DamagedError(f"{folder}/result.json: damaged, it is the result of another run")
    row = _config_columns(folder, "result.json", config)
    # Runs of different arithmetic are not averaged, whatever their configs ask for.
    if config.precision == "auto" and isinstance(resolved := result.get("precision"), str):
        row["precision"] = one_line(resolved)
    row |= {
        "run": name,
        "fingerprint": identity,
        "data_sha256": data,
        **_training(folder, config, identity, data),
        "result_sha256": hashlib.sha256(canonical_json(dict(result)).encode()).hexdigest(),
    }
    if "metrics_sha256" in result:
        row["metrics_sha256"] = _digest(folder, result, "metrics_sha256")
    for key in (*COUNTS, "steps_per_epoch", *TIMES, "true_nll"):
        if key in result or key in ("tokens", "sentences"):
            row[key] = _number(folder, "result.json", result, key, whole=key not in (*TIMES, "true_nll"))
    row |= _text(folder, result)
    # Results from before the field are of version 1.
    versions = {"evaluation_version": 1, **result}
    version = int(_number(folder, "result.json", versions, "evaluation_version", whole=True))
    row |= {"evaluation": evaluation_id(config, version)[:8], "evaluation_version": version}
    row |= _estimates(folder, "result.json", config, result.get("estimates"))
    others = []
    for file in filter(is_evaluation, folder.store.names(folder.name)):
        try:
            if (record := read_evaluation(folder, file, result)) is not None:
                others.append(_further(folder, file, config, record))
        except DamagedError as damage:
            problems.append(one_line(str(damage)))  # the others are valid without it
    if others:
        row["other_evaluations"] = canonical_json(others)
    return row


_MEASURES = (("train", "unknown"), ("test", "unknown"), ("test", "characters"), ("test", "spelling_nats"))
"""Split and key of each value that is read."""


def _text(folder: RunFolder, result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns on the vocabulary; results of earlier versions have none."""
    if "vocabulary" not in result:
        return {}
    splits = _object(result.get("splits"))
    row = {"vocabulary": _number(folder, "result.json", result, "vocabulary", whole=True)}
    for name, key in _MEASURES:
        split = _object(splits.get(name))
        # Earlier results have neither of the last two.
        if key == "unknown" or not {"characters", "spelling_nats"}.isdisjoint(split):
            whole = key == "characters"
            row[f"{name}_{key}"] = _number(
                folder, "result.json", split, key, of=f"splits.{name}", whole=whole
            )
    return row


def _object(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one if the value is something else."""
    return value if isinstance(value, dict) else {}


def _further(folder: RunFolder, file: str, config: RunConfig, record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns in which a further evaluation differs from the first."""
    fields = {name: value for name, value in record["config"].items() if name in EVALUATION_FIELDS}
    shared = {name: value for name, value in record["config"].items() if name in SHARED_FIELDS}
    for name, value in (fields | shared).items():
        if type(value) is not type(getattr(config, name)) or _is_too_large(value):
            raise DamagedError(f"{folder}/{file}: damaged, {name} is {value!r}")
    other = {name: value for name, value in shared.items() if value != getattr(config, name)}
    return {
        "evaluated_with": canonical_json(other) if other else None,
        "evaluation": record["evaluation"][:8],
        "evaluation_version": _number(folder, file, record, "version", whole=True),
        "evaluate_seconds": _number(folder, file, record, "evaluate_seconds"),
        **fields,
        **_estimates(folder, file, config, record.get("estimates")),
    }


def _estimates(folder: RunFolder, file: str, config: RunConfig, estimates: Any) -> dict[str, Any]:
    if not isinstance(estimates, dict):
        raise DamagedError(f"{folder}/{file}: damaged, it has no estimates")
    # Without its main estimate a run would be counted as done and appear in no average.
    main = "nll" if config.encoder == "none" else "nll_elbo"
    if main not in estimates:
        raise DamagedError(f"{folder}/{file}: damaged, it has no {main}")
    columns = {}
    for name in ESTIMATES:
        if name not in estimates:
            continue
        estimate = estimates[name]
        if not isinstance(estimate, dict):
            raise DamagedError(f"{folder}/{file}: damaged, estimate {name} is not an object")
        columns[name] = _number(folder, file, estimate, "value", of=name)
        if "stderr" in estimate:
            columns[f"{name}_stderr"] = _number(folder, file, estimate, "stderr", of=name)
        for part in diagnostics_of(name):
            if part in estimate:
                columns[f"{name}_{part}"] = _number(folder, file, estimate, part, of=name)
    return columns


def _training(folder: RunFolder, config: RunConfig, identity: str, data: str) -> dict[str, Any]:
    """The columns that say whether this version would train the run in the same way, and as which run."""
    key = fingerprint(config, data)
    # If a run of an earlier version was finished with other fields of evaluation, only its config.json has
    # the fields behind its fingerprint.
    current = is_fingerprint(identity, config, data) or (
        (begun := folder.read_config()) is not None
        and fingerprint(begun[0], data) == key
        and is_fingerprint(identity, begun[0], data)
    )
    return {"numerics": "current", "training": key} if current else {"numerics": "other"}


def _config_columns(folder: RunFolder, file: str, config: RunConfig) -> dict[str, Any]:
    """The config fields that the run reads."""
    read = fields_read(config, "training") | fields_read(config, "evaluation") | set(IDENTITY)
    columns = {name: getattr(config, name) for name in (*CONFIG_FIELDS, *IDENTITY) if name in read}
    for name, value in columns.items():
        if _is_too_large(value):
            raise DamagedError(f"{folder}/{file}: damaged, {name} is {value}")
    return columns | {"dataset": dataset_label(config.dataset)}


def _is_too_large(value: Any) -> bool:
    """Whether a value is a whole number that does not fit into a column."""
    return type(value) is int and abs(value) >= _TOO_LARGE


def _digest(folder: RunFolder, result: Mapping[str, Any], key: str) -> str:
    value = result.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise DamagedError(f"{folder}/result.json: damaged, {key} is {value!r}, not a SHA-256")
    return value


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
    value: Any = values.get(key)
    # Python's JSON reader accepts NaN and Infinity, and True is an int.
    if whole and type(value) is int and not _is_too_large(value):
        return value
    # A column of floats takes no int that a float cannot hold exactly; the nearest float is precise enough.
    if not whole and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    name, kind = f"{of}.{key}" if of else key, "whole" if whole else "finite"
    raise DamagedError(f"{folder}/{file}: damaged, {name} is {value!r}, not a {kind} number")


def _device(attempt: object) -> str:
    """The device of an attempt, of a CPU with its kind; "" if it is not recorded."""
    if not isinstance(attempt, dict) or "device" not in attempt:
        return ""
    device = one_line(str(attempt["device"]))
    processor = attempt.get("processor")
    return f"{device} ({one_line(str(processor))})" if device == "cpu" and processor else device


def _provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    # Without a list of attempts, the file itself describes the only one.
    attempts = provenance.get("attempts")
    every = attempts if isinstance(attempts, list) and attempts else [provenance]
    last = every[-1]
    if not isinstance(last, dict):
        return {}
    row = {key: one_line(str(last[key])) for key in ("commit", "host") if key in last}
    if devices := {*map(_device, every)} - {""}:
        row["device"] = " and ".join(sorted(devices))
    if isinstance(last.get("dirty"), bool):
        row["dirty"] = last["dirty"]
    versions = last.get("versions")
    if isinstance(versions, dict):
        if "numerics" in versions:
            row["numerics"] = one_line(str(versions["numerics"]))
        row["versions"] = one_line(", ".join(f"{name} {version}" for name, version in versions.items()))
    return row
