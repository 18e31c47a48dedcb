"""The callback that passes Tune's reports to the display, and an interrupt to the runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from lvae_core.command import Interrupt
from lvae_core.errors import InputError
from lvae_core.messages import numbered
from lvae_core.run_folder.estimates import announced_perplexity
from sweeps.cluster.own_ray import is_own_ray, status_hint
from sweeps.guardian import enter_stage
from sweeps.launching.progress.display import Display
from sweeps.launching.trouble.deleted_study import DeletedStudy
from sweeps.launching.trouble.full_storage import FullStorage
from sweeps.launching.trouble.lost_actors import LostActors, why_lost
from sweeps.launching.trouble.other_launches import OtherLaunches
from sweeps.launching.tune_patches import actor_of
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import format_duration

_IDLE_SECONDS, _STOPPING_SECONDS = 60.0, 10.0
"""Seconds between lines while no run can start, and while runs save their states."""


class LaunchCallback(tune.Callback):
    """Pass what Tune reports to the display, and an interrupt to the runs.

    It adds runs whose actors were lost to ``lost``, and runs that ran out of memory in a share of a device
    and are worth a larger share to ``out_of_memory``.
    """

    def __init__(
        self,
        display: Display,
        interrupt: Interrupt,
        others: OtherLaunches,
        lost: LostActors,
        out_of_memory: set[str],
        resources: Mapping[str, Resources],
        deleted: DeletedStudy,
        full: FullStorage,
    ) -> None:
        self._display, self._board, self._interrupt = display, display.board, interrupt
        self._others, self._lost, self._out_of_memory = others, lost, out_of_memory
        self._resources, self._deleted, self._full = resources, deleted, full
        self._has_announced_stop = False
        self.has_begun = False
        """Whether any run has begun."""
        self.error: InputError | None = None
        """An error that ends the launch."""
        self._began = self._last_busy = self._last_stopping = time.monotonic()
        self.stopper = _Stopper(self)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.has_begun = True
        enter_stage("runs")
        self._board.start(trial.config["run"])
        if self._interrupt.requested:
            self._finish(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        name = trial.config["run"]
        has_bound = self._board.running[name].cell not in self._board.best_not_bounds
        lines = _lines(result, hide_test_scores=self._board.hide_test_scores, has_bound=has_bound)
        if self._deserves_larger_share(name, result):
            self._out_of_memory.add(name)
            self._board.lose(name)
            gpus = self._resources[name].enlarged().gpus
            lines = [f"out of memory; to be retried once on {gpus:g} GPUs"]
        else:
            self._board.report(name, result)
            self._full.add_report(name, result)
            if self._display.events and not self._board.is_part(name):
                self._display.events.write(name, result)
        for line in (*result["warnings"], *lines):
            self._display.say(f"{self._board.label(name)}: {line}")

    def _deserves_larger_share(self, name: str, report: Mapping[str, Any]) -> bool:
        failed = report["phase"] == "failed" and report["failure"]["class"] == "out_of_memory"
        return failed and self._resources[name].may_grow and name not in self._out_of_memory

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._lose(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._lose(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._interrupt.requested and not self._has_announced_stop:
            self._display.say("stopping: every run saves its state (Ctrl-C again: stop at once)")
            for trial in trials:
                if trial.status == Trial.RUNNING:
                    self._finish(trial)
            self._has_announced_stop = self._board.stopping = True
            self._last_stopping = time.monotonic()
        self._say_who_is_saving()
        if self._board.running or time.monotonic() - self._last_busy > _IDLE_SECONDS:
            if not self._board.running:
                self._display.say(self._why_idle())
            self._last_busy = time.monotonic()
        self._others.look()
        try:
            self._deleted.check()
            self._full.check()
        except InputError as error:
            self.error = error  # Tune would wrap it
            raise
        self._display.refresh()

    def _why_idle(self) -> str:
        """Say what a launch without a run under way waits for."""
        if is_own_ray():  # its runs fit on this machine, which it has to itself
            waited = format_duration(time.monotonic() - self._began)
            return f"still starting processes after {waited}; each loads torch and the data"
        wanted = _resources_text(self._resources[next(iter(self._resources))])
        return f"waiting for {wanted} free on one machine{status_hint()}"

    def _say_who_is_saving(self) -> None:
        saving, now = len(self._board.running), time.monotonic()
        if self._has_announced_stop and saving and now - self._last_stopping >= _STOPPING_SECONDS:
            self._display.say(f"stopping: {numbered(saving, 'run')} still to save")
            self._last_stopping = now

    def has_stopped(self) -> bool:
        """Whether an interrupt has taken effect: no run is under way any more."""
        return self._interrupt.requested and not self._board.running

    def _finish(self, trial: Trial) -> None:
        # The call is queued behind the step under way; the report after it says how saving went. Tune's
        # own way of stopping would kill a run that takes more than a few seconds to save.
        actor_of(trial).finish.remote()

    def _lose(self, trial: Trial) -> None:
        name = trial.config["run"]
        if name in self._board.running:
            self._board.lose(name)
        if self._display.events:
            self._display.events.close(name)
        loss = why_lost(trial)
        if loss.is_storage_full:
            self._full.add_failure()
        times = self._lost.add(name, loss)
        if self._lost.is_next_too_many(name):
            trial.max_failures = 0  # Tune counts failures of all kinds together
        self._display.say(f"{self._board.label(name)}: {loss.message} ({times})")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restoration that never happens


class _Stopper(tune.Stopper):
    def __init__(self, callback: LaunchCallback) -> None:
        self._callback = callback

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._callback.has_stopped()


def _resources_text(resources: Resources) -> str:
    """The resources of a run for people: ``1 CPU``, ``4 CPUs and 1 GPU``, ``2 CPUs and 0.25 of a GPU``."""
    text = f"{resources.cpus} CPU{'' if resources.cpus == 1 else 's'}"
    if not resources.gpus:
        return text
    gpus = resources.gpus
    share = f"{gpus:g} of a GPU" if gpus < 1 else f"{gpus:g} GPU{'' if gpus == 1 else 's'}"
    return f"{text} and {share}"


def _lines(report: Mapping[str, Any], *, hide_test_scores: bool, has_bound: bool) -> list[str]:
    """The lines to print for a report; ``has_bound``: whether the validation perplexity is a bound."""
    if report["phase"] == "failed":
        return ["failed, {class}: {message}".format(**report["failure"])]
    if report["phase"] == "held":
        return [f"left to another launch ({report['by']})"]
    best = f", valid ppl {report['metrics']['best_ppl']:.2f}" if report.get("metrics") else ""
    best += "" if has_bound or not best else " (not a bound)"
    if report["phase"] == "paused":
        return [f"paused after epoch {report['epoch']}{best}"]
    if report["phase"] == "done" and "estimates" not in report:
        return ["scored"]
    if report["phase"] == "done":
        trains = "train_seconds" in report
        estimates, seconds = (
            report["estimates"],
            report.get("train_seconds", 0.0) + report["evaluate_seconds"],
        )
        name = announced_perplexity(estimates)
        score = best if hide_test_scores else f", test {name} {estimates[name]['value']:.2f}"
        return [f"{'done' if trains else 'evaluated again'} in {format_duration(seconds)}{score}"]
    return []
