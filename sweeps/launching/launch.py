"""Hand the runs of a workload to Ray Tune, and restart Tune until all of them have ended."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from lvae_core.command import Interrupt
from lvae_core.run_folder.claims import HeldError, acquire
from lvae_core.run_folder.folder import RunFolder
from lvae_core.training.failures import Failure
from lvae_core.training.runtime import Runtime
from sweeps.checks.preflight import examined
from sweeps.cluster.replaced import environment
from sweeps.cluster.scratch_folder import own_folder
from sweeps.launching.callback import LaunchCallback
from sweeps.launching.dependencies import Dependencies
from sweeps.launching.progress.display import Display
from sweeps.launching.trainable import Job, RunTrainable
from sweeps.launching.trouble.deleted_study import DeletedStudy
from sweeps.launching.trouble.full_storage import FullStorage
from sweeps.launching.trouble.lost_actors import MAX_LOSSES, Loss, LostActors, last_line
from sweeps.launching.trouble.other_launches import OtherLaunches
from sweeps.launching.tune_patches import (
    TUNE_ENVIRONMENT,
    Names,
    PlanOrder,
    errors_as_lost_actors,
    few_records,
    shared_folder,
    silent_tune,
    trainable_looked_up_once,
)
from sweeps.planning.evaluation_parts import EvaluationPart, evaluation_parts
from sweeps.planning.resources import Resources
from sweeps.planning.sizes import checkpoint_bytes
from sweeps.planning.times.list_scheduling import concurrency, longest_first, slots_on
from sweeps.planning.workload import Workload

_WAIT_SECONDS = 0.5


def launch(
    workload: Workload,
    display: Display,
    *,
    runtime: Runtime | None = None,
    max_losses: int = MAX_LOSSES,
    pause_after: Mapping[str, int] | None = None,
) -> bool:
    """Do the runs of a workload; their folders hold the outcome. Ray must be connected.

    A run that is trained, but lacks the wanted estimates, is evaluated again from its checkpoint.
    A run that fails does not stop the others. A run whose process, node or storage is lost is resumed from
    its checkpoint, at most ``max_losses`` times. A run that runs out of memory in a share of a GPU is
    retried once in a larger share. A run whose encoder starts from another run of the workload begins when
    that is trained and all runs that need not wait have ended, and not at all if it fails. Runs that
    another launch works on are waited for, and taken over if that launch dies. If all runs are trained and
    there are more devices than runs, long evaluations are divided into parts. The runs then join them, and
    score what is missing themselves.

    Args:
        workload: the runs; the folder of its study exists.
        display: shows the launch; the runs wait on its board.
        runtime: when to write checkpoints. Device, threads and launch are set here.
        max_losses: see above.
        pause_after: run name -> epoch after which the run is saved and released; another launch may resume
            it. Other runs continue to their result.

    Returns:
        False if the launch was interrupted.

    Raises:
        InputError: the study's folder was deleted.
    """
    board = display.board
    lost = LostActors(max_losses)
    out_of_memory: set[str] = set()
    failure_files = {run.name: run.failure_file for run in workload.runs}
    granted = {run.name: workload.resources_of(run.name) for run in workload.runs}
    slots = _slots(workload, ray.nodes())  # type: ignore[no-untyped-call]
    others = OtherLaunches(workload.study, board, workload.runs, display.say)
    deleted = DeletedStudy(workload.study.url)
    full = FullStorage(workload.study.url, _checkpoint_bytes(workload), display.say)
    runtime = replace(runtime or Runtime(), launch=uuid.uuid4().hex)
    with (
        Interrupt() as interrupt,
        environment(TUNE_ENVIRONMENT),
        silent_tune(),
        contextlib.ExitStack() as claims,
    ):
        others.begin()
        parts = _divide(workload, display, slots)
        for name in {part.run for part in parts}:  # a part claims nothing; the run itself takes this over
            with contextlib.suppress(HeldError, OSError):
                claims.enter_context(acquire(workload.study.run(name), runtime.launch))
        granted |= {part.name: granted[part.run] for part in parts}
        dependencies = Dependencies(workload.runs, display, parts=parts)
        tuner = _TunerRunner(workload, parts, runtime, max_losses, pause_after or {})
        board.slots = max(board.slots, min(slots, len(workload.runs) + len(parts)))
        # Tune retries what it sees lost. This loop restarts what it gives up: a run whose actor dies
        # during a reset, and everything that waits when Tune itself fails.
        while (board.waiting or board.held) and not interrupt.requested:
            others.look()
            dependencies.drop_orphans()
            ready = dependencies.ready()
            names = [name for name in ready if name not in out_of_memory]
            resources = granted
            if not names:
                names = ready
                resources = {name: granted[name].enlarged() for name in names}
            if not names:
                deleted.check()
                full.check()
                display.refresh()
                time.sleep(_WAIT_SECONDS)
                continue
            names = longest_first(names, board.rank)
            names.sort(key=dependencies.is_parent, reverse=True)
            limit = workload.resources.max_concurrent
            at_once = concurrency([board.measured_seconds(name) for name in names], limit)
            callback = LaunchCallback(
                display, interrupt, others, lost, out_of_memory, resources, deleted, full
            )
            try:
                tuner.run(names, resources, at_once, callback, others, frozenset(out_of_memory))
            except Exception as error:
                if callback.error is not None:
                    raise callback.error from None
                if not callback.has_begun:
                    raise  # it would happen again
                message = f"Tune stopped ({last_line(str(error))})"
                display.say(f"{message}; a fresh one continues with the rest")
                for name in list(board.running):
                    lost.add(name, Loss("infrastructure", message))
                    board.lose(name)
            for name in list(board.waiting):
                if failure := lost.failure(name):
                    _give_up(workload.study.run(name), failure, failure_files.get(name), display)
    return not (interrupt.requested and (board.waiting or board.held or board.more))


def _checkpoint_bytes(workload: Workload) -> int:
    """The bytes of the largest checkpoint."""
    runs = {run.variant: run for run in workload.runs}.values()  # seeds change no size
    sizes = (checkpoint_bytes(run.config, len(workload.corpus_of(run).vocabulary)) for run in runs)
    return max(sizes, default=0)


def _slots(workload: Workload, nodes: Iterable[Mapping[str, Any]]) -> int:
    """The number of runs that the present nodes do at once, if each is as large as the largest."""
    granted = [workload.resources_of(run.name) for run in workload.runs] or [workload.resources]
    largest = {"CPU": max(1, *(g.cpus for g in granted)), "GPU": max(g.gpus for g in granted)}
    on_nodes = (
        min(slots_on(node["Resources"].get(kind, 0.0), each) for kind, each in largest.items() if each)
        for node in nodes
        if node["Alive"]
    )
    return max(1, min(sum(on_nodes), workload.resources.max_concurrent or sys.maxsize))


def _divide(workload: Workload, display: Display, slots: int) -> Sequence[EvaluationPart]:
    """Divide long evaluations on so many devices, on the board too."""
    try:
        parts = evaluation_parts(workload, display.board.waiting, slots)
    except OSError:
        return ()  # undivided, they retry the storage
    for name, count in {part.run: part.count for part in parts}.items():
        display.say(f"{display.board.label(name)}: evaluated in {count} parts at the same time")
    display.board.divide(parts)
    return parts


def _give_up(folder: RunFolder, failure: Failure, file: str | None, display: Display) -> None:
    """Give up a run, or a part of an evaluation, for which ``file`` is None: the run may still score it."""
    display.board.give_up(folder.name, {"class": failure.kind, "message": failure.message})
    display.say(f"{display.board.label(folder.name)}: failed, {failure.kind}: {failure.message}")
    # If the storage is what has failed, the board still knows, and the other runs continue.
    with contextlib.suppress(OSError):
        if file is not None:
            folder.write_failure(*failure, file=file)


class _TunerRunner:
    """Runs one fresh Tuner after another; puts what all of them share into the object store once."""

    def __init__(
        self,
        workload: Workload,
        parts: Iterable[EvaluationPart],
        runtime: Runtime,
        max_losses: int,
        pause_after: Mapping[str, int],
    ) -> None:
        self._configs = {run.name: run.config for run in workload.runs}
        self._parts = {part.name: part for part in parts}
        self._evaluations = {run.name: run.evaluation for run in workload.runs if run.evaluation}
        self._corpora = {name: ray.put(corpus) for name, corpus in workload.corpora.items()}
        self._study, self._max_losses, self._pause_after = workload.study, max_losses, pause_after
        self._runtime = runtime
        self._nodes, self._digest = examined()

    def run(
        self,
        names: Sequence[str],
        resources: Mapping[str, Resources],
        at_once: int,
        callback: LaunchCallback,
        others: OtherLaunches,
        grown: frozenset[str],
    ) -> None:
        job = Job(
            study=self._study.url,
            configs=self._configs,
            evaluations=self._evaluations,
            parts=self._parts,
            corpora=self._corpora,
            runtime=self._runtime,
            resources=resources,
            stale_claims=dict(others.stale_claims),
            pause_after=self._pause_after,
            grown=grown,
            nodes=self._nodes,
            digest=self._digest,
        )
        trainable = tune.with_resources(
            tune.with_parameters(RunTrainable, job=job), lambda config: resources[config["run"]].placement()
        )
        # Nothing reads what Tune writes about trials: the run folders are the record.
        with (
            own_folder("tune") as scratch,
            errors_as_lost_actors(),
            few_records(),
            trainable_looked_up_once(),
        ):
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=Names(names),
                    num_samples=len(names),
                    reuse_actors=True,
                    max_concurrent_trials=at_once or None,
                    scheduler=PlanOrder(),
                    trial_dirname_creator=shared_folder,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=str(scratch),
                    failure_config=tune.FailureConfig(max_failures=self._max_losses),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    callbacks=[callback],
                    stop=callback.stopper,
                    verbose=0,
                ),
            ).fit()
