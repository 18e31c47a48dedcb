"""Hand the runs that are left to Ray Tune and see them through."""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from lvae_core.config import InputError
from lvae_core.corpus import Corpus
from lvae_core.failures import one_line
from lvae_core.record import Study
from lvae_core.trainer import Runtime
from sweeps.cluster import environment
from sweeps.estimate import clock
from sweeps.plan import PlannedRun
from sweeps.progress import Display, short
from sweeps.trainable import Job, RunTrainable

LOSSES = 20
"""How often the process or node of one run may be lost before the run counts as failed."""

_IDLE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one run is given, and how many may go on at once (0: as many as fit)."""

    cpus: int = 1
    gpus: float = 0.0
    max_concurrent: int = 0

    def check(self, available: Mapping[str, float]) -> None:
        """Raise InputError where not even one run fits into ``available``."""
        for name, option, wanted in (
            ("CPU", "--cpus-per-run", self.cpus),
            ("GPU", "--gpus-per-run", self.gpus),
        ):
            if wanted > available.get(name, 0):
                raise InputError(f"{option} {wanted:g}: this Ray has {available.get(name, 0):g} {name}s")


class Interrupt:
    """Ctrl-C, or SIGTERM: the first asks for an end, the second is one (KeyboardInterrupt)."""

    requested = False

    def __enter__(self) -> Interrupt:
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def launch(
    runs: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    resources: Resources,
    display: Display,
    *,
    losses: int = LOSSES,
) -> bool:
    """Do ``runs``; whatever becomes of them is in their folders. Ray must be connected.

    A run that fails does not stop the others. One whose process or node is lost is taken up again from
    its checkpoint, ``losses`` times at most. ``corpora`` has them by the datasets that the configs name.

    Returns:
        Whether it went through to the end; False if it was interrupted.
    """
    job = Job(
        study=study.url,
        configs={run.name: run.config for run in runs},
        corpora={name: ray.put(corpus) for name, corpus in corpora.items()},
        runtime=Runtime(device="cuda" if resources.gpus else "cpu", threads=resources.cpus),
    )
    trainable = tune.with_resources(
        tune.with_parameters(RunTrainable, job=job), {"cpu": resources.cpus, "gpu": resources.gpus}
    )
    lost: Counter[str] = Counter()
    with Interrupt() as interrupt, environment(_TUNE), _quiet():
        # Tune tries again whatever it sees lost; the loop takes up what it drops for good: a run whose
        # actor dies while it is being reset, and all that wait when Tune itself fails.
        while display.board.waiting and not interrupt.requested:
            watch = _Watch(display, interrupt, lost, resources)
            try:
                _fit(trainable, list(display.board.waiting), watch, resources, losses)
            except Exception as error:
                if not display.board.running:
                    raise
                display.say(f"Tune stopped ({one_line(error)}); what is left goes to a fresh one")
                for name in list(display.board.running):
                    lost[name] += 1
                    display.board.lose(name)
            for name in [name for name in display.board.waiting if lost[name] > losses]:
                _give_up(name, lost[name], study, display)
    return not (interrupt.requested and display.board.waiting)


def _give_up(name: str, times: int, study: Study, display: Display) -> None:
    message = f"its process or node was lost {times} times"
    display.board.give_up(name, {"class": "infrastructure", "message": message})
    display.say(f"{short(name)}: failed, infrastructure: {message}")
    # The board knows it, and the others go on, even where the storage is what has failed.
    with contextlib.suppress(OSError):
        study.run(name).write_failure("infrastructure", message, "")


def _fit(trainable: Any, names: Sequence[str], watch: _Watch, resources: Resources, losses: int) -> None:
    # What Tune writes about trials is of no use to anyone here: the run folders say it all.
    with tempfile.TemporaryDirectory(prefix="lvae-tune-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            trainable,
            param_space={"run": tune.grid_search(list(names))},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=resources.max_concurrent or None,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=losses),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[watch],
                stop=watch.stopper,
                verbose=0,
            ),
        ).fit()


_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Tune's own messages out: errors of runs are told by the display and the run folders."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Watch(tune.Callback):
    """Tells the display what Tune reports, and passes an interrupt on to the runs."""

    def __init__(
        self, display: Display, interrupt: Interrupt, lost: Counter[str], resources: Resources
    ) -> None:
        self._display, self._board, self._interrupt, self._lost = display, display.board, interrupt, lost
        self._resources = resources
        self._told = False
        self._busy = time.monotonic()
        self.stopper = _Stopper(self)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._board.start(trial.config["run"])
        if self._interrupt.requested:
            self._finish(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        name = trial.config["run"]
        self._board.report(name, result)
        for line in (*result["warnings"], *_news(result)):
            self._display.say(f"{short(name)}: {line}")

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._lose(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._lose(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._interrupt.requested and not self._told:
            self._display.say("stopping: every run saves its state (once more: stop at once)")
            for trial in trials:
                if trial.status == Trial.RUNNING:
                    self._finish(trial)
            self._told = True
        if self._board.running or time.monotonic() - self._busy > _IDLE_SECONDS:
            if not self._board.running:
                wanted = f"{self._resources.cpus} CPUs and {self._resources.gpus:g} GPUs"
                self._display.say(f"waiting for a node with {wanted} free; see `ray status`")
            self._busy = time.monotonic()
        self._display.refresh()

    def over(self) -> bool:
        """Whether an interrupt has been served: no run is under way any more."""
        return self._interrupt.requested and not self._board.running

    def _finish(self, trial: Trial) -> None:
        # Queued behind the step that is under way; the report after it says how the saving went. Tune's
        # own way of stopping would kill a run that takes more than some seconds to save.
        actor: Any = trial.temporary_state.ray_actor
        actor.finish.remote()

    def _lose(self, trial: Trial) -> None:
        name = trial.config["run"]
        self._lost[name] += 1
        if name in self._board.running:
            self._board.lose(name)
        self._display.say(f"{short(name)}: its process or node was lost ({self._lost[name]})")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restoration that never comes


class _Stopper(tune.Stopper):
    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._watch.over()


def _news(report: Mapping[str, Any]) -> list[str]:
    """What there is to say of a report, for people."""
    if report["phase"] == "failed":
        return ["failed, {class}: {message}".format(**report["failure"])]
    if report["phase"] == "done":
        estimates, seconds = report["estimates"], report["train_seconds"] + report["evaluate_seconds"]
        name = "ppl" if "ppl" in estimates else "ppl_elbo"
        return [f"done in {clock(seconds)}, test {name} {estimates[name]['value']:.2f}"]
    return []
