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

from lvae_core.command import Interrupt
from lvae_core.run_folder.claims import HeldError, acquire
from lvae_core.run_folder.folder import RunFolder
from lvae_core.training.failures import Failure
from lvae_core.training.runtime import Runtime
from sweeps.checks.preflight import examined
from sweeps.cluster.replaced import environment
from sweeps.launching.callback import LaunchCallback
from sweeps.launching.dependencies import Dependencies
from sweeps.launching.progress.display import Display
from sweeps.launching.trainable import Job
from sweeps.launching.trouble.deleted_study import DeletedStudy
from sweeps.launching.trouble.full_storage import FullStorage
from sweeps.launching.trouble.lost_actors import MAX_LOSSES, Loss, LostActors, last_line
from sweeps.launching.trouble.other_launches import OtherLaunches
from sweeps.launching.tune_patches import TUNE_ENVIRONMENT, silent_tune
from sweeps.launching.tuner import run_tuner
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
    runtime = replace(runtime or Runtime(), launch=uuid.uuid4().hex)
    board, study = display.board, workload.study
    slots = _slots(workload, ray.nodes())  # type: ignore[no-untyped-call]
    others = OtherLaunches(study, board, workload.runs, display.say)
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
                claims.enter_context(acquire(study.run(name), runtime.launch))
        board.slots = max(board.slots, min(slots, len(workload.runs) + len(parts)))
        job = _job(workload, parts, runtime, pause_after or {})
        return _Launch(workload, job, display, interrupt, others, max_losses).run()


class _Launch:
    """A launch under way: what its runs wait for, what they have lost, and what starts next."""

    def __init__(
        self,
        workload: Workload,
        job: Job,
        display: Display,
        interrupt: Interrupt,
        others: OtherLaunches,
        max_losses: int,
    ) -> None:
        self._job, self._study = job, workload.study
        self._display, self._board = display, display.board
        self._interrupt, self._others = interrupt, others
        self._dependencies = Dependencies(workload.runs, display, parts=job.parts.values())
        self._max_concurrent = workload.resources.max_concurrent
        self._max_losses, self._lost = max_losses, LostActors(max_losses)
        self._out_of_memory: set[str] = set()
        """The runs and parts that get a larger share, once."""
        self._failure_files = {run.name: run.failure_file for run in workload.runs}
        self._deleted = DeletedStudy(self._study.url)
        self._full = FullStorage(self._study.url, _checkpoint_bytes(workload), display.say)

    def run(self) -> bool:
        """Do the runs; returns False if the launch was interrupted."""
        board = self._board
        # Tune retries what it sees lost. This loop restarts what it gives up: a run whose actor dies
        # during a reset, and everything that waits when Tune itself fails.
        while (board.waiting or board.held) and not self._interrupt.requested:
            self._others.look()
            self._dependencies.drop_orphans()
            names, resources = self._next_runs()
            if names:
                self._start(names, resources)
                self._give_up_lost_runs()
            else:
                self._wait()
        return not (self._interrupt.requested and (board.waiting or board.held or board.more))

    def _next_runs(self) -> tuple[list[str], Mapping[str, Resources]]:
        """The runs and parts that begin now, in this order, and the resources of each.

        Those that ran out of memory begin when nothing else can, each in a larger share.
        """
        ready, resources = self._dependencies.ready(), self._job.resources
        names = [name for name in ready if name not in self._out_of_memory]
        if not names:
            names = ready
            resources = {name: resources[name].enlarged() for name in names}
        names = longest_first(names, self._board.rank)
        names.sort(key=self._dependencies.is_parent, reverse=True)
        return names, resources

    def _wait(self) -> None:
        """Wait a moment for the runs of other launches."""
        self._deleted.check()
        self._full.check()
        self._display.refresh()
        time.sleep(_WAIT_SECONDS)

    def _start(self, names: Sequence[str], resources: Mapping[str, Resources]) -> None:
        """Let a fresh Tuner do these runs and parts; if it fails, what it had under way is lost."""
        seconds = [self._board.measured_seconds(name) for name in names]
        at_once = concurrency(seconds, self._max_concurrent)
        callback = LaunchCallback(
            self._display,
            self._interrupt,
            self._others,
            self._lost,
            self._out_of_memory,
            resources,
            self._deleted,
            self._full,
        )
        job = replace(
            self._job,
            resources=resources,
            stale_claims=dict(self._others.stale_claims),
            grown=frozenset(self._out_of_memory),
        )
        try:
            run_tuner(names, job, at_once, self._max_losses, callback)
        except Exception as error:
            if callback.error is not None:
                raise callback.error from None
            if not callback.has_begun:
                raise  # it would happen again
            message = f"Tune stopped ({last_line(str(error))})"
            self._display.say(f"{message}; a fresh one continues with the rest")
            for name in list(self._board.running):
                self._lost.add(name, Loss("infrastructure", message))
                self._board.lose(name)

    def _give_up_lost_runs(self) -> None:
        """Give up the runs and parts that have been lost too often."""
        for name in list(self._board.waiting):
            if failure := self._lost.failure(name):
                _give_up(self._study.run(name), failure, self._failure_files.get(name), self._display)


def _job(
    workload: Workload, parts: Sequence[EvaluationPart], runtime: Runtime, pause_after: Mapping[str, int]
) -> Job:
    """Gather what the processes of all runs share, with the corpora in the object store."""
    granted = {run.name: workload.resources_of(run.name) for run in workload.runs}
    nodes, digest = examined()
    return Job(
        study=workload.study.url,
        configs={run.name: run.config for run in workload.runs},
        evaluations={run.name: run.evaluation for run in workload.runs if run.evaluation},
        parts={part.name: part for part in parts},
        corpora={name: ray.put(corpus) for name, corpus in workload.corpora.items()},
        runtime=runtime,
        resources=granted | {part.name: granted[part.run] for part in parts},
        stale_claims={},
        pause_after=pause_after,
        nodes=nodes,
        digest=digest,
    )


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
