"""Hand the runs that are left to Ray Tune and see them through."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray
from ray import tune

from lvae_core.command import Interrupt
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from lvae_core.training.failures import Failure
from lvae_core.training.runtime import Runtime
from sweeps.cluster.connect import environment
from sweeps.cluster.scratch_folder import own_folder
from sweeps.launching.callback import Watch
from sweeps.launching.display import Display
from sweeps.launching.lost_actors import MAX_LOSSES, Loss, LostActors, last_line
from sweeps.launching.other_launches import OtherLaunches
from sweeps.launching.trainable import Job, RunTrainable
from sweeps.launching.tune_patches import TUNE_ENVIRONMENT, PlanOrder, errors_as_lost_actors, silent_tune
from sweeps.planning.list_scheduling import concurrency, longest_first
from sweeps.planning.plan import PlannedRun
from sweeps.planning.resources import Resources

_WAIT_SECONDS = 0.5


def launch(
    runs: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    resources: Resources,
    display: Display,
    *,
    given: Mapping[str, Resources] | None = None,
    runtime: Runtime | None = None,
    losses: int = MAX_LOSSES,
    pause_after: Mapping[str, int] | None = None,
) -> bool:
    """Do ``runs``; whatever becomes of them is in their folders. Ray must be connected.

    A run that fails does not stop the others. One whose process, node or storage is lost is taken up again
    from its checkpoint, ``losses`` times at most; one that runs out of memory in a share of a GPU, once in
    a larger share. Runs that another launch is at work on are waited for, and taken over if it dies.

    Args:
        runs: to be done.
        corpora: theirs, by the datasets that the configs name.
        study: where they are kept; its folder exists.
        resources: of each run.
        given: run name -> what it has instead.
        display: told of everything; its board has ``runs`` waiting.
        runtime: when to write checkpoints. Device, threads and launch are set here.
        losses: see above.
        pause_after: run name -> epoch after which the run is saved and released; another launch may resume
            it. Other runs continue to their result.

    Returns:
        Whether it went through to the end; False if it was interrupted.
    """
    round_ = _Round(runs, corpora, study, runtime or Runtime(), losses, pause_after or {})
    board = display.board
    lost = LostActors(losses)
    out_of_memory_runs: set[str] = set()
    usual = {run.name: resources for run in runs} | dict(given or {})
    others = OtherLaunches(study, board, runs, display.say)
    with Interrupt() as interrupt, environment(TUNE_ENVIRONMENT), silent_tune():
        others.begin()
        # Tune tries again whatever it sees lost; the loop takes up what it drops for good: a run whose
        # actor dies while it is being reset, and all that wait when Tune itself fails.
        while (board.waiting or board.held) and not interrupt.requested:
            others.look()
            names, each = [name for name in board.waiting if name not in out_of_memory_runs], usual
            if not names:
                names, each = list(board.waiting), {name: each[name].enlarged() for name in board.waiting}
            if not names:
                display.refresh()
                time.sleep(_WAIT_SECONDS)
                continue
            names = longest_first(names, lambda name: board.speed.rank(board.waiting[name]))
            at_once = concurrency(names, board.waiting, board.speed, resources.max_concurrent)
            watch = Watch(display, interrupt, others, lost, out_of_memory_runs, each)
            try:
                round_.fit(names, each, at_once, watch, others)
            except Exception as error:
                if not watch.has_begun:
                    raise  # it would happen again
                message = f"Tune stopped ({last_line(str(error))})"
                display.say(f"{message}; what is left goes to a fresh one")
                for name in list(board.running):
                    lost.add(name, Loss("infrastructure", message))
                    board.lose(name)
            for name in list(board.waiting):
                if failure := lost.failure(name):
                    _give_up(name, failure, study, display)
    return not (interrupt.requested and (board.waiting or board.held or board.more))


def _give_up(name: str, failure: Failure, study: Study, display: Display) -> None:
    display.board.give_up(name, {"class": failure.kind, "message": failure.message})
    display.say(f"{display.board.label(name)}: failed, {failure.kind}: {failure.message}")
    # The board knows it, and the others go on, even where the storage is what has failed.
    with contextlib.suppress(OSError):
        study.run(name).write_failure(*failure)


class _Round:
    """Hands runs to a fresh Tuner; what is the same for every round of a launch is made once."""

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        corpora: Mapping[str, Corpus],
        study: Study,
        runtime: Runtime,
        losses: int,
        pause_after: Mapping[str, int],
    ) -> None:
        self._configs = {run.name: run.config for run in runs}
        self._corpora = {name: ray.put(corpus) for name, corpus in corpora.items()}
        self._study, self._losses, self._pause_after = study, losses, pause_after
        self._runtime = replace(runtime, launch=uuid.uuid4().hex)

    def fit(
        self,
        names: Sequence[str],
        each: Mapping[str, Resources],
        at_once: int,
        watch: Watch,
        others: OtherLaunches,
    ) -> None:
        job = Job(
            study=self._study.url,
            configs=self._configs,
            corpora=self._corpora,
            runtime=self._runtime,
            resources=each,
            gone=dict(others.gone),
            pause_after=self._pause_after,
        )
        trainable = tune.with_resources(
            tune.with_parameters(RunTrainable, job=job), lambda config: each[config["run"]].placement()
        )
        # What Tune writes about trials is of no use to anyone here: the run folders say it all.
        with own_folder("tune") as scratch, errors_as_lost_actors():
            tune.Tuner(
                trainable,
                param_space={"run": tune.grid_search(list(names))},
                tune_config=tune.TuneConfig(
                    reuse_actors=True,
                    max_concurrent_trials=at_once or None,
                    scheduler=PlanOrder(),
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=str(scratch),
                    failure_config=tune.FailureConfig(max_failures=self._losses),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    callbacks=[watch],
                    stop=watch.stopper,
                    verbose=0,
                ),
            ).fit()
