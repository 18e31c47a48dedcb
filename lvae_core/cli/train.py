"""``python -m lvae_core run`` and ``evaluate``: train one run, or evaluate a trained one again."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from lvae_core.cli.display import Display, estimates_text, summary
from lvae_core.command import print_error
from lvae_core.config import FIELD_TYPES, RunConfig, from_dict
from lvae_core.data.corpus import load_for
from lvae_core.data.datasets import NAMES
from lvae_core.errors import InputError, reason
from lvae_core.evaluation.evaluate import WHOLE, Part
from lvae_core.identity import evaluation_id
from lvae_core.messages import notice, notice_next
from lvae_core.parents import parent_of
from lvae_core.protocols import PROTOCOLS, with_protocol
from lvae_core.run_folder.evaluations import (
    evaluation_file,
    failure_file,
    find_evaluation,
    other_values,
)
from lvae_core.run_folder.event_files import FOLDER as EVENTS
from lvae_core.run_folder.event_files import EventFiles, place_note
from lvae_core.run_folder.folder import FAILURE, DamagedError, RunFolder
from lvae_core.run_folder.lookup import find_run, open_run
from lvae_core.run_folder.names import RunName
from lvae_core.settings import apply_settings, parse_settings, with_evaluation
from lvae_core.systems import SYSTEMS, recipe
from lvae_core.training.carry_out import (
    carry_out,
    check_new,
    check_parent_of_new,
    claim_patiently,
    train_patiently,
)
from lvae_core.training.evaluate_again import evaluate_again, evaluate_part
from lvae_core.training.failures import failure_of
from lvae_core.training.runtime import Progress, Runtime, make_runtime


def run(options: argparse.Namespace) -> int:
    """Train and evaluate one run, or resume it; return the exit status."""
    config = _with_settings(_read_config(options.config), options.set)
    runtime = _runtime(options)
    folder = open_run(options.out)
    check_new(config, folder)
    corpus = load_for(config, options.data_dir)
    corpus.warn()
    if options.parent:
        if (parent := parent_of(config)) is None:
            raise InputError(f"--parent: {config.system} trains no other run first; leave it out")
        config, folder = parent, find_run(folder.store, parent, corpus.data_sha256)
    else:
        check_parent_of_new(config, corpus, folder)
    events = open_events(folder) if options.tensorboard else None
    if options.tensorboard:
        notice(place_note(Path(EVENTS, folder.name)))
    status = _carry_out(
        config,
        folder,
        lambda: train_patiently(config, corpus, folder, runtime),
        events=events,
        was_finished=folder.has("result.json"),
    )
    if status == 0:
        result = folder.read_json("result.json") or {}
        # Another config's fields of evaluation would mislabel its numbers.
        print(summary(result, from_dict(result["config"])))
        others = [] if options.parent else _other_evaluation(config, result)
        if others:
            asked = ", ".join(others)
            notice(f"note: the run was finished with other values than {asked}; to compute these:")
            words = ["evaluate", options.out, "--set", *others]
            notice_next("-m", "lvae_core", *words, data_dir=options.data_dir)
            return 0
        following = ["generate", options.out]
        if options.parent:
            following = ["run", options.config, *_given(options.set), "--out", options.out]
        notice_next("-m", "lvae_core", *following, data_dir=options.data_dir)
    return status


def _given(settings: Sequence[str]) -> list[str]:
    """The words of ``--set`` as they were given."""
    return ["--set", *settings] if settings else []


def _with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """Apply ``--set``.

    Raises:
        InputError: also if another dataset or setting is given for which recipes choose other fields, too:
            the config would keep those that fit the former one.
    """
    changes = parse_settings(settings)
    for field in ("dataset", "setting"):
        if field not in changes:
            continue
        value = changes[field]
        system = config.system if config.system in SYSTEMS else "SYSTEM"
        remedy = f"make a config with `python -m lvae_core recipe {system} --{field} {shlex.quote(value)}`"
        if _chooses_others(config, field, value):
            raise InputError(f"--set {field}={value}: the recipe depends on it; {remedy}")
        if field == "dataset" and "min_count" not in changes and _text_chooses(config.dataset, value):
            raise InputError(
                f"--set dataset={value}: its text may need another min_count; {remedy}, or give --set "
                f"min_count={config.min_count}, too, to keep that of the config"
            )
    return apply_settings(config, settings)


def _text_chooses(former: str, dataset: str) -> bool:
    """Whether the text of one of two datasets chooses ``min_count`` in a recipe, and they differ."""
    return former != dataset and not {former, dataset} <= set(NAMES)


def _chooses_others(config: RunConfig, field: str, value: str) -> bool:
    """Whether the recipe of a system, under any protocol, chooses other fields by this one."""
    system = config.system if config.system in SYSTEMS else "lstm-vae"
    change: dict[str, Any] = {field: value}
    former: dict[str, Any] = {"dataset": config.dataset, "setting": config.setting}
    old, new = recipe(system, **former), recipe(system, **(former | change))
    return any(
        dataclasses.replace(with_protocol(old, protocol), **change) != with_protocol(new, protocol)
        for protocol in PROTOCOLS
    )


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate a trained run with other fields of evaluation; return the exit status."""
    runtime = _runtime(options)
    folder = open_run(options.run)
    present = folder.read_latest_config()
    if present is None:
        raise InputError(f"{folder}: no run folder; give the --out of `python -m lvae_core run`")
    config = with_evaluation(present, parse_settings(options.set), prefix="--set ")
    wanted = evaluation_id(config)
    part = Part.parse(options.part) if options.part else WHOLE
    found = find_evaluation(folder, wanted)
    is_new = found is None
    if is_new:
        corpus = load_for(config, options.data_dir)
        status = _carry_out(
            config,
            folder,
            lambda: (
                evaluate_part(config, corpus, folder, runtime, part)
                if part != WHOLE
                else evaluate_again(config, corpus, folder, runtime, claim_patiently(folder, runtime))
            ),
            failure_file(wanted),
        )
        if part != WHOLE and status == 0:
            print(f"part {part} is scored")
            words = ["evaluate", options.run, *_given(options.set)]
            when = f", once all {part.count} parts are"
            notice_next("-m", "lvae_core", *words, data_dir=options.data_dir, when=when)
            return 0
        if status:
            return status
        found = find_evaluation(folder, wanted)
    assert found is not None  # it was there, or has just been written
    given = _other_evaluation(config, folder.read_json("result.json") or {})
    if is_new:
        done = f"evaluated with {', '.join(given)}" if given else "evaluated again"
        notice(f"note: {done}; stored as {evaluation_file(wanted)}, result.json is unchanged")
    else:
        notice("note: evaluated before; these are its numbers, and nothing was computed")
    print(estimates_text(found["estimates"], config))
    # Only a sweep names its runs so; the folder around another run need not be a study.
    if RunName.parse(folder.name):
        shown = ["--evaluation", *given] if given else []
        notice_next("analysis/summarize.py", folder.store.url, *shown)
    else:
        notice_next("-m", "lvae_core", "generate", options.run, data_dir=options.data_dir)
    return 0


def _other_evaluation(config: RunConfig, result: dict[str, Any]) -> list[str]:
    """The fields of evaluation, as ``--set`` takes them, whose values the result does not have."""
    return [f"{name}={value}" for name, value in other_values(config, result).items()]


def _runtime(options: argparse.Namespace) -> Runtime:
    """Check the options about where and how a run executes."""
    return make_runtime(
        options.device,
        options.threads,
        options.checkpoint_minutes,
        getattr(options, "checkpoint_epochs", 1),
        label=lambda name: "--" + name.replace("_", "-"),
    )


def _carry_out(
    config: RunConfig,
    folder: RunFolder,
    start: Callable[[], Generator[Progress, None, None]],
    failure: str = FAILURE,
    events: EventFiles | None = None,
    *,
    was_finished: bool = False,
) -> int:
    """Do the work that ``start`` begins, with a display; return the exit status.

    ``was_finished``: whether the run had a result before this command.
    """
    display = Display(config, finished=was_finished)

    def show(progress: Progress) -> None:
        display.show(progress)
        if events:
            result = folder.read_json("result.json") if progress.phase == "done" else None
            events.write(progress.step, progress.metrics, (result or {}).get("estimates"))

    try:
        with contextlib.closing(events) if events else contextlib.nullcontext():
            completed = carry_out(folder, start, show, failure)
    except (InputError, DamagedError, OSError):  # an OSError is of the display or the event files
        raise
    except Exception as error:
        found = failure_of(error)
        print_error(f"{folder}: {found.kind}: {found.message}")
        return 1
    if not completed:
        line = f"stopped; the run is saved in {folder}; run the same command again to resume it"
        print(line, file=sys.stderr)
        return 130
    return 0


def open_events(folder: RunFolder) -> EventFiles | None:
    """Return the event files of a run; None if it is finished and has some.

    Raises:
        InputError: the library is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard: tensorboard is not installed; pip install -c constraints.txt -e "
            "'.[tensorboard]'"
        ) from None
    place = Path(EVENTS)
    if folder.has("result.json") and (place / folder.name).exists():
        return None
    return EventFiles(folder, place, SummaryWriter)


def _folder_advice(path: str) -> str:
    """Advise somebody who gives a folder as a config: it may be a run to resume or to evaluate."""
    if not Path(path, "config.json").is_file():
        return "a folder; give a file with a config; `python -m lvae_core recipe lstm-vae` prints one"
    config = shlex.quote(str(Path(path, "config.json")))
    run = shlex.quote(path)
    return (
        "the folder of a run, not a config; resume it with "
        f"`python -m lvae_core run {config} --out {run}`, "
        f"or evaluate it with `python -m lvae_core evaluate {run}`"
    )


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; raises InputError if a name stands in it twice, of which json keeps one."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise InputError(f"{name} is given twice; give it once")
        values[name] = value
    return values


def _read_config(path: str) -> RunConfig:
    """Read a config as printed by `recipe`, or the config.json of a run folder."""
    if path != "-" and os.path.isdir(path):
        raise InputError(f"{path}: {_folder_advice(path)}")
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        values = json.loads(text, object_pairs_hook=_each_once)
    except OSError as error:
        raise InputError(
            f"{path}: {reason(error)}; make one with `python -m lvae_core recipe lstm-vae > {path}`"
        ) from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        is_empty = isinstance(error, json.JSONDecodeError) and not error.doc.strip()
        problem = "empty" if is_empty else f"not JSON ({error})"
        raise InputError(f"{path}: {problem}; make a config with `python -m lvae_core recipe`") from None
    if isinstance(values, dict) and set(values) == {"fingerprint", "config", "sha256"}:
        values = values["config"]
    if not isinstance(values, dict):
        raise InputError(f"{path}: must contain one JSON object of config fields")
    try:
        return from_dict(values)
    except InputError as error:
        if values and not FIELD_TYPES.keys() & values.keys():
            raise InputError(
                f"{path}: not a config (unknown config field {next(iter(values))!r}); make one with "
                "`python -m lvae_core recipe lstm-vae > run.json`"
            ) from None
        raise InputError(f"{path}: {error}") from None
