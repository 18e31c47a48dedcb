"""The evaluations of a trained run: the first one in result.json, further ones in files next to it.

``evaluation-<first 8 digits of its id>.json`` is one object with these fields:

    fingerprint        of the run, as in result.json
    metrics_sha256     as in the result.json of the model that was evaluated; a record with another one is
                       of a model that has since been trained anew, and counts as missing. Absent in
                       records of earlier versions
    evaluation         64 hex digits over the fields below and the version; see lvae_core.identity
    version            of the estimates
    config             the config fields that the estimates read
    estimates, tokens, sentences, precision     as in result.json
    evaluate_seconds   time on the device over all attempts
    attempt            commit, versions, host, device and threads of the last attempt

An evaluation under way has ``evaluation-<8 digits>.checkpoint.pt``; a part of one that is divided has
``evaluation-<8 digits>.part-<k>-of-<n>.checkpoint.pt``, also once the part is finished. The complete
evaluation replaces them.

If the last attempt at an evaluation failed, ``evaluation-<8 digits>.failure.json`` says why, as
failure.json does for the run itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from lvae_core.config import RunConfig, from_dict
from lvae_core.identity import evaluation_id, evaluation_values
from lvae_core.run_folder.folder import FAILURE, DamagedError, RunFolder

_FILE = re.compile(r"evaluation-[0-9a-f]{8}\.json")
_PROGRESS = re.compile(
    r"evaluation-(?P<id>[0-9a-f]{8})(\.part-[0-9]+-of-(?P<count>[0-9]+))?\.checkpoint\.pt"
)


def evaluation_file(evaluation: str) -> str:
    """The name of the file that holds an evaluation with this id."""
    return f"evaluation-{evaluation[:8]}.json"


def progress_file(evaluation: str, number: int = 1, count: int = 1) -> str:
    """The name of the file from which an evaluation, or part ``number`` of ``count``, resumes."""
    part = f".part-{number}-of-{count}" if count > 1 else ""
    return f"evaluation-{evaluation[:8]}{part}.checkpoint.pt"


def part_count(folder: RunFolder, evaluation: str, batches: int) -> int:
    """The number of parts into which an evaluation under way is divided; 1: undivided, 0: not begun.

    If parts of several divisions have been scored, the division with the most files counts.

    Args:
        folder: of the run.
        evaluation: its id.
        batches: of the test split. A division into more parts, which earlier versions began, cannot be
            completed and does not count.
    """
    found = map(_PROGRESS.fullmatch, folder.store.names(folder.name))
    files = Counter(int(m["count"] or 1) for m in found if m and m["id"] == evaluation[:8])
    possible = (count for count in files if count <= batches)
    return max(possible, key=lambda n: (n > 1, files[n], n), default=0)


def is_progress(file: str, evaluation: str) -> bool:
    """Whether a file of a run folder holds progress of an evaluation, or of a part of it."""
    match = _PROGRESS.fullmatch(file)
    return match is not None and match["id"] == evaluation[:8]


def failure_file(evaluation: str) -> str:
    """The name of the file that records why the last attempt at an evaluation failed."""
    return f"evaluation-{evaluation[:8]}.failure.json"


def result_file_of(evaluation: str) -> str:
    """The file with the result of a run or, given an id, of a further evaluation of it."""
    return evaluation_file(evaluation) if evaluation else "result.json"


def failure_file_of(evaluation: str) -> str:
    """The file that says why a run failed or, given an id, why a further evaluation of it did."""
    return failure_file(evaluation) if evaluation else FAILURE


def is_evaluation(file: str) -> bool:
    """Whether a file of a run folder holds a further evaluation."""
    return _FILE.fullmatch(file) is not None


def evaluation_of(result: Mapping[str, Any]) -> str:
    """The id of the evaluation that result.json holds."""
    return evaluation_id(from_dict(result["config"]), version=result.get("evaluation_version", 1))


def find_evaluation(folder: RunFolder, evaluation: str) -> dict[str, Any] | None:
    """The evaluation of a run with this id, whatever other files hold.

    Returns:
        None if the run is not finished, or its file is missing, damaged or of a model that has since been
        trained anew: it is to be computed again.

    Raises:
        DamagedError: result.json is not what was written.
    """
    result = folder.read_json("result.json")
    if result is None or evaluation_of(result) == evaluation:
        return result
    try:
        return read_evaluation(folder, evaluation_file(evaluation), result)
    except DamagedError:
        return None


def other_values(config: RunConfig, result: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of evaluation, with the values of ``config``, that differ from those of a result.

    None differs if ``result`` is empty: there is no result yet.
    """
    if "config" not in result:
        return {}
    # A field that came later than the result has the default that it was evaluated with.
    recorded = vars(from_dict(result["config"]))
    return {name: value for name, value in evaluation_values(config).items() if recorded[name] != value}


def read_evaluation(folder: RunFolder, file: str, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a further evaluation of a run; None if there is no such file.

    Args:
        folder: of the run.
        file: of the evaluation.
        result: the run's result.json. An evaluation of another model than it is of, which was lost and
            trained anew, counts as missing. If one of the two does not record its model, any model will do.

    Raises:
        DamagedError: the file is not what was written, or belongs to another run.
    """
    record = folder.read_json(file)
    if record is None:
        return None
    evaluation = record.get("evaluation")
    if record.get("fingerprint") != result.get("fingerprint") or not isinstance(evaluation, str):
        raise DamagedError(f"{folder}/{file}: an evaluation of another run; move it away")
    if evaluation_file(evaluation) != file or not isinstance(record.get("config"), dict):
        raise DamagedError(f"{folder}/{file}: damaged, its content does not match its name")
    made_from, present = record.get("metrics_sha256"), result.get("metrics_sha256")
    return None if made_from and present and made_from != present else record
