"""Look up the runs of a grid in the folders of a study, the only record: plan = grid - done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint, is_same_training
from lvae_core.messages import numbered
from lvae_core.run_folder.claims import is_under_way
from lvae_core.run_folder.folder import CHECKPOINT, DamagedError, NewerVersionError, RunFolder
from lvae_core.run_folder.names import run_name, without_fingerprint
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each
from sweeps.planning.evaluations import look_up_further
from sweeps.planning.plan import Plan, PlannedRun, Status
from sweeps.planning.times.measured import measured_speed, seconds_of

T = TypeVar("T")


def make_plan(
    configs: Iterable[RunConfig],
    data_sha256: Mapping[str, str],
    study: Study,
    *,
    evaluate: bool,
    known: Mapping[str, PlannedRun] | None = None,
) -> Plan:
    """Look up every run of a grid in the study.

    Args:
        configs: the grid; two configs of one fingerprint are one run.
        data_sha256: dataset, as the configs name it -> content hash.
        study: keeps the runs; it is listed once, and need not exist.
        evaluate: whether trained runs that lack the estimates that the grid asks for are to be evaluated
            again; if not, they are done.
        known: fingerprint -> run, of runs that are done and have been read; they are not read again.

    Raises:
        InputError: a run folder holds an intact file of another run. The message names the file.
    """
    planned: dict[str, _Wanted] = {}
    for config in configs:
        data = data_sha256[config.dataset]
        key = fingerprint(config, data)
        planned.setdefault(run_name(config, key), _Wanted(config, key, data, evaluate))
    present = set(study.run_names())

    def look_up(name: str) -> PlannedRun:
        wanted = planned[name]
        if name not in present:
            return PlannedRun(config=wanted.config, name=name, status="left", key=wanted.key)
        return _read_run(study.run(name), wanted, wanted.key)

    known = known or {}
    unread = [name for name, wanted in planned.items() if wanted.key not in known]
    read = dict(zip(unread, read_each(study.url, look_up, unread), strict=True))
    found = {name: read.get(name) or known[wanted.key] for name, wanted in planned.items()}
    unsettled = {
        name: planned[name] for name, run in found.items() if run.status != "done" or run.evaluation
    }
    earlier, of_other_text = _earlier_folders(study, unsettled, present - planned.keys())
    for name, folders in earlier.items():
        found[name] = min([found[name], *folders], key=_preference)
    runs = list(found.values())
    finished = [(run.variant, run.result, not run.evaluation) for run in runs if run.result is not None]
    further = present - planned.keys() - {run.name for run in runs}
    speed, others = measured_speed(study, {run.variant: run.config for run in runs}, finished, further)
    twice = [found[name] for name, folders in earlier.items() if len(folders) + (name in present) > 1]
    notes = (*_notes_on_twice(twice), *_notes_on_evaluations(runs), *_notes_on_text(of_other_text))
    return Plan(runs, speed, notes, others=others)


def read_done(study: Study, run: PlannedRun, data_sha256: str) -> PlannedRun | None:
    """Read a planned run that is done by now; None unless it is settled. Raises as :func:`make_plan`."""
    if run.name != run_name(run.config, run.key):  # a folder of an earlier version
        return None
    found = _read_run(study.run(run.name), _Wanted(run.config, run.key, data_sha256, True), run.key)
    return found if found.is_settled else None


class _Wanted(NamedTuple):
    """A run to look up."""

    config: RunConfig
    key: str
    data_sha256: str
    evaluate: bool


def _earlier_folders(
    study: Study, wanted: Mapping[str, _Wanted], names: Iterable[str]
) -> tuple[dict[str, list[PlannedRun]], list[RunConfig]]:
    """Find the folders that hold a wanted run under the fingerprint of an earlier version.

    Only folders of a wanted cell and seed are read.

    Args:
        study: holds the folders.
        wanted: name by today's fingerprint -> run.
        names: the folders to search.

    Returns:
        The same name -> the run as such a folder holds it; names without one are absent. And the configs of
        finished runs that train as a wanted one, but did so on other text.
    """
    alike: dict[str, dict[str, str]] = {}
    for name, run in wanted.items():
        alike.setdefault(without_fingerprint(name), {})[run.key] = name
    candidates = sorted(name for name in names if without_fingerprint(name) in alike)
    of_other_text: list[RunConfig] = []

    def read(folder: str) -> tuple[str, PlannedRun] | None:
        try:
            present = study.run(folder).read_identity()
        except DamagedError:
            return None
        if present is None:
            return None
        config, recorded = present
        same = alike[without_fingerprint(folder)]
        for data in {wanted[name].data_sha256 for name in same.values()}:
            if (name := same.get(fingerprint(config, data))) is None:
                continue
            if is_same_training(recorded, config, wanted[name].key, data):
                return name, _read_run(study.run(folder), wanted[name], recorded)
            if _is_over_other_text(study.run(folder), data):
                of_other_text.append(wanted[name].config)
        return None

    found: dict[str, list[PlannedRun]] = {}
    for match in read_each(study.url, read, candidates):
        if match is not None:
            found.setdefault(match[0], []).append(match[1])
    return found, of_other_text


def _is_over_other_text(folder: RunFolder, data_sha256: str) -> bool:
    """Whether a folder holds a finished run that was trained when its dataset was another."""
    try:
        result = folder.read_json("result.json")
    except DamagedError:
        return False
    return result is not None and result.get("data_sha256") != data_sha256


def _preference(run: PlannedRun) -> tuple[bool, ...]:
    """Sort key for the folders of one run: with nothing left to do first, then trained, then begun."""
    return (
        not run.is_settled,
        run.status != "evaluate",
        run.result is None,
        run.status != "failed",
        not run.begun,
    )


def _notes_on_evaluations(runs: Sequence[PlannedRun]) -> tuple[str, ...]:
    """A line if trained runs have other estimates than the grid asks for, and cannot be evaluated again."""
    others = [run for run in runs if run.status == "done" and run.evaluation]
    if not others:
        return ()
    return (
        f"{numbered(len(others), 'run', 'has')} other estimates than these settings ask for, and no "
        f"checkpoint.pt to evaluate again: {_names(others)}; they count as done with the estimates "
        "they have. Put the checkpoints back, or train anew with another --study",
    )


def _notes_on_text(configs: Sequence[RunConfig]) -> tuple[str, ...]:
    """A line if finished runs of the grid are over text that has changed since."""
    if not configs:
        return ()
    names = ", ".join(sorted({config.dataset for config in configs}))
    return (
        f"{numbered(len(configs), 'finished run')} of this grid: trained before the files of {names} "
        "changed; other text is another problem, so they stay as they are, and the grid is trained anew",
    )


def _notes_on_twice(runs: Sequence[PlannedRun]) -> tuple[str, ...]:
    if not runs:
        return ()
    runs_have = numbered(len(runs), "run", "has")
    return (f"{runs_have} more than one folder in this study; used: {_names(runs)}",)


def _names(runs: Sequence[PlannedRun]) -> str:
    return ", ".join(run.name for run in runs[:3]) + (", …" if len(runs) > 3 else "")


def _read_run(folder: RunFolder, wanted: _Wanted, recorded: str) -> PlannedRun:
    """Read a run from its folder, which records this fingerprint."""
    damages: list[str] = []
    present = _intact(folder.read_config, damages)
    if present is not None and not (present[1] == recorded and _is_run(*present, wanted)):
        raise InputError(
            f"{folder}/config.json: not the config that the folder's name stands for; {_REMEDY}"
        )
    result = _intact(lambda: folder.read_json("result.json"), damages)
    if result is not None:
        if result.get("fingerprint") != recorded:
            raise InputError(f"{folder}/result.json: the result of another run; {_REMEDY}")
        if seconds_of(result) is None or not result.get("estimates"):
            raise InputError(f"{folder}/result.json: it lacks estimates or times; {_REMEDY}")
        _intact(lambda: folder.check_metrics(str(result.get("metrics_sha256"))), damages)
    status, failure = _status(folder, result, damages)
    run = PlannedRun(
        config=wanted.config,
        name=folder.name,
        status=status,
        key=wanted.key,
        result=result if status == "done" else None,
        failure=failure,
        damages=tuple(damages),
        begun=True,
        epochs=_finished_epochs(folder) if status == "left" and not damages else 0,
    )
    return _with_estimates(folder, run) if wanted.evaluate else run


def _finished_epochs(folder: RunFolder) -> int:
    """The epochs trained, of which a launch repeats those after the checkpoint; 0 without one."""
    try:
        return len(folder.read_metrics()) if folder.has(CHECKPOINT) else 0
    except DamagedError:
        return 0  # the launch that repairs it will say so


def _with_estimates(folder: RunFolder, run: PlannedRun) -> PlannedRun:
    """The run as its further evaluations show it, if its result.json lacks the wanted estimates."""
    further = look_up_further(folder, run.config, run.result) if run.result else None
    if further is None:
        return run
    if further.record is not None:
        assert run.result is not None
        made = {name: further.record[name] for name in ("estimates", "evaluate_seconds")}
        return replace(run, result={**run.result, **made})
    lacking = replace(run, evaluation=further.id, damages=further.damages)
    if not further.can_be_made:
        return lacking
    # As in training, a failure that another launch is retrying is no failure.
    status: Status = "evaluate" if further.failure is None or is_under_way(folder) else "failed"
    return replace(lacking, status=status, failure=further.failure)


_REMEDY = "move this folder out of the study and launch again"


def _status(
    folder: RunFolder, result: Mapping[str, Any] | None, damages: list[str]
) -> tuple[Status, dict[str, Any] | None]:
    if result is not None:
        return "left" if damages else "done", None
    failure = _intact(lambda: folder.read_json("failure.json"), damages)
    if failure is None:
        return "left", None
    # If another launch is retrying it, it is waited for like every run that is under way.
    return ("left" if is_under_way(folder) else "failed"), failure


def _intact(read: Callable[[], T], damages: list[str]) -> T | None:
    """The result of ``read``; if the file is damaged, None and a line in ``damages``.

    Raises:
        InputError: a newer version of the code wrote the file, which a launch would not repair.
    """
    try:
        return read()
    except NewerVersionError as error:
        raise InputError(str(error)) from None
    except DamagedError as damage:
        damages.append(str(damage))
        return None


def _is_run(present: RunConfig, recorded: str, wanted: _Wanted) -> bool:
    """Whether a folder holds the wanted run; fields that its training does not read may differ."""
    # Equal values, the usual case, need no hash. A folder of data counts by its name and content.
    same = {**present.to_dict(), "dataset": wanted.config.dataset} == wanted.config.to_dict()
    return (same and recorded == wanted.key) or is_same_training(
        recorded, present, wanted.key, wanted.data_sha256
    )
