"""One run inside a Ray actor: the bridge from Tune to :func:`lvae_core.training.trainer.execute`.

A run that is trained and is only to be evaluated again goes to
:func:`lvae_core.training.evaluate_again.evaluate_again` instead, and a part of its evaluation to
:func:`lvae_core.training.evaluate_again.evaluate_part`. Methods import what needs torch: the driver imports
this module as well, and never computes.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import ray
from ray import tune

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.messages import Collector
from lvae_core.run_folder.claims import ClaimLostError, ClaimState, HeldError, acquire
from lvae_core.run_folder.evaluations import failure_file_of, result_file_of
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.study import open_study
from lvae_core.storage.retrying import is_transient
from lvae_core.training.failures import (
    DeviceLostError,
    PlaceLostError,
    failure_of,
    has_lost_device,
    one_line,
)
from lvae_core.training.runtime import Progress, Runtime
from sweeps.checks.node_facts import project
from sweeps.planning.evaluation_parts import EvaluationPart
from sweeps.planning.resources import Resources

LOST_DEVICE_SECONDS = 60.0
"""Seconds for which a process keeps a GPU that has failed."""

OTHER_CODE_SECONDS = 600.0
"""Seconds for which a process keeps its place on a node with other code: time for the user to mend it."""

STEP_SECONDS = 1.0
"""Seconds between reports: enough for one driver to take those of hundreds of runs."""

Report = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Values that the actors of a launch share, sent once to each node through the object store."""

    study: str
    """Address of the study's storage, the same from every node."""
    configs: Mapping[str, RunConfig]
    """Run name -> config."""
    evaluations: Mapping[str, str]
    """Run name -> id of the evaluation to make, for runs that are trained."""
    parts: Mapping[str, EvaluationPart]
    """Name of a part of the evaluation of a run -> the part."""
    corpora: Mapping[str, ray.ObjectRef[Corpus]]
    """Dataset, as the configs name it -> its encoded corpus."""
    runtime: Runtime
    """Without what depends on a run's resources."""
    resources: Mapping[str, Resources]
    """Name of a run or part -> its resources."""
    stale_claims: Mapping[str, ClaimState]
    """Run name -> a claim that is known to be stale."""
    pause_after: Mapping[str, int]
    """Run name -> epoch after which the run pauses."""
    grown: frozenset[str] = frozenset()
    """Names of the runs and parts whose share of a GPU is the larger one that they get once."""
    nodes: frozenset[str] = frozenset()
    """Ids of the nodes that the preflight has checked."""
    digest: str = ""
    """The digest of the launch's project source."""


class OtherCodeError(PlaceLostError):
    """A node that has joined a launch has other code: what it computes would not belong to the launch."""


class RunTrainable(tune.Trainable):
    """Do one run after another in one warm process; Tune's config names the run, or a part.

    A report (the value of :meth:`step`) has ``phase``, ``epoch``, ``step`` and ``fraction`` as
    :class:`~lvae_core.training.runtime.Progress` has them; while it trains ``epochs`` and the fields of
    :class:`~lvae_core.training.pace.Pace`, but ``loss`` is the mean of the epoch so far; ``metrics``: the
    latest row of ``metrics.jsonl`` or None; ``warnings``: lines for the user; and ``done``. In the last
    report of a run ``phase`` is

    - ``done``, with ``estimates`` and the two timing fields of its result; if it was evaluated again,
      with those of the evaluation, which has no ``train_seconds``; without them if it is a part;
    - ``failed``, with ``failure``: class and message, as ``failure.json`` has them;
    - ``stopped``: saved on request; another launch can resume it;
    - ``paused``: saved after the epoch after which it was to pause;
    - ``held``: another launch works on it.

    An error of the run itself is reported, not raised, because Tune would retry it. Errors of Ray, of the
    storage, of a GPU that has failed and of a node with other code are raised, because a retry may succeed.
    """

    _other_code = ""
    """What is wrong with the code of this node; "" if nothing is."""
    _refused_since: float | None = None
    """The time of the first report that says so."""

    def setup(self, config: dict[str, Any], *, job: Job) -> None:  # type: ignore[override]
        self._job = job
        self._corpus: tuple[str, Corpus] | None = None
        # A process has one run at a time, so its other threads, such as the claim's, speak of that run.
        self._messages = Collector()
        self._iterator: Generator[Progress] | None = None
        self._last_report: Report | None = None
        self._other_code = _other_code(job)
        if not self._other_code:  # an error here would count as one of the run's code
            self._begin(config["run"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._close()
        if self._other_code or not _device_works(self._runtime.device):
            # Tune starts a fresh process instead.
            ray.actor.exit_actor()  # type: ignore[no-untyped-call]
        self._begin(new_config["run"])
        return True

    def _begin(self, name: str) -> None:
        # The launch has made the study's folder: if it is missing, it is gone and must not be made again.
        # If retries do not help, Tune restarts the run, perhaps on another node.
        self._part = self._job.parts.get(name)
        run = self._part.run if self._part else name
        self._folder = open_study(self._job.study, create=False).run(run)
        self._config = self._job.configs[run]
        self._evaluation = self._job.evaluations.get(run, "")
        given = self._job.resources[name]
        self._may_grow = given.may_grow and name not in self._job.grown
        self._runtime = replace(
            self._job.runtime, device=given.device, threads=given.cpus, device_share=given.memory_share
        )
        self._pause_after = self._job.pause_after.get(name, math.inf)
        self._iterator = None
        self._metrics: Mapping[str, Any] | None = None
        self._last_report = None

    def step(self) -> Report:
        if self._last_report is not None:
            return self._last_report
        if self._other_code:
            return self._refuse()
        report = self._advance()
        return report | {"warnings": self._messages.take()}

    def _refuse(self) -> Report:
        """Name the node at once, and give up its place later: free, it would take run after run."""
        if self._refused_since is None:
            self._refused_since, lines = time.monotonic(), [self._other_code]
        elif time.monotonic() - self._refused_since >= OTHER_CODE_SECONDS:
            raise OtherCodeError(self._other_code)
        else:
            time.sleep(STEP_SECONDS)
            lines = []
        report = {"phase": "train", "epoch": 0, "step": 0, "fraction": 0.0, "metrics": None}
        return report | {"done": False, "warnings": lines}

    def finish(self) -> None:
        """Save the run; its next report says ``stopped``."""
        trouble = self._close()
        lines = [*self._messages.take(), *trouble]
        self._last_report = {"phase": "stopped", "done": True, "warnings": lines}

    def cleanup(self) -> None:
        self._close()
        self._messages.close()

    def _close(self) -> list[str]:
        """Close the run, which saves it if it is under way; returns a line for the user if that fails."""
        iterator, self._iterator = self._iterator, None
        try:
            if iterator is not None:
                iterator.close()
        except Exception as error:
            return [f"not saved ({one_line(error)}); it will resume from its last checkpoint"]
        return []

    def _advance(self) -> Report:
        """Continue the run for about a second."""
        try:
            if self._iterator is None and self._has_reached_pause():
                return {"phase": "paused", "epoch": self._pause_after, "metrics": None, "done": True}
            return self._report(self._consume())
        except ray.exceptions.RayError:
            raise
        except (HeldError, ClaimLostError) as error:
            self._iterator = None
            return {"phase": "held", "done": True, "by": str(error)}
        except Exception as error:
            if isinstance(error, OSError) and is_transient(error):
                raise
            if has_lost_device(error):
                lost = f"GPU {os.environ.get('CUDA_VISIBLE_DEVICES', '?')} of {platform.node()}"
                # Free at once, it would fail run after run, and take them all from GPUs that work.
                time.sleep(LOST_DEVICE_SECONDS)
                raise DeviceLostError(f"{lost} failed ({one_line(error)})") from None
            failure = failure_of(error)
        # Outside the handler, nothing refers to the tensors of the failed run any more.
        self._iterator = None
        gc.collect()
        message, file = failure.message, failure_file_of(self._evaluation)
        try:
            # It has not failed yet if the run itself scores the part, or will be tried with a larger
            # share: a launch that is stopped before would leave a failure, which the next does not retry.
            if self._part is None and not (self._may_grow and failure.kind == "out_of_memory"):
                self._folder.write_failure(*failure, file=file)
        except OSError as error:
            message += f" (and {file} could not be written: {error})"
        return {"phase": "failed", "done": True, "failure": {"class": failure.kind, "message": message}}

    def _report(self, progress: Progress) -> Report:
        phase = "paused" if self._pauses(progress) else progress.phase
        if phase == "paused":
            assert self._iterator is not None
            self._iterator.close()  # which saves it
            self._iterator = None
            self._folder.clear_failure()  # it has passed the point where an earlier attempt failed
        report = {"phase": phase, "epoch": progress.epoch, "fraction": progress.fraction}
        report["step"] = progress.step
        if progress.pace:
            report |= {"epochs": progress.epochs, **asdict(progress.pace)}
        if phase == "done" and self._part is None:
            result = self._folder.read_json(result_file_of(self._evaluation)) or {}
            fields = ("estimates", "train_seconds", "evaluate_seconds")
            report |= {key: result[key] for key in fields if key in result}
        return report | {"metrics": self._metrics, "done": phase in ("done", "paused")}

    def _consume(self) -> Progress:
        if self._iterator is None:
            from lvae_core.evaluation.evaluate import Part
            from lvae_core.training.evaluate_again import evaluate_again, evaluate_part
            from lvae_core.training.trainer import execute

            corpus, runtime = self._get_corpus(), self._runtime
            if self._part:
                part = Part(self._part.number, self._part.count)
                self._iterator = evaluate_part(self._config, corpus, self._folder, runtime, part)
            else:
                stale = self._job.stale_claims.get(self._folder.name)
                claim = acquire(self._folder, runtime.launch, stale=stale)
                work = evaluate_again if self._evaluation else execute
                self._iterator = work(self._config, corpus, self._folder, runtime, claim)
        until = time.monotonic() + STEP_SECONDS
        for progress in self._iterator:
            self._metrics = progress.metrics or self._metrics
            if progress.phase == "done" or self._pauses(progress) or time.monotonic() >= until:
                return progress
        raise RuntimeError("the run ended without being done")

    def _pauses(self, progress: Progress) -> bool:
        """Whether the run has finished the epoch after which it pauses."""
        return (
            progress.phase == "train"
            and progress.metrics is not None
            and progress.epoch >= self._pause_after
        )

    def _has_reached_pause(self) -> bool:
        """Whether another launch has already trained the run up to its pause."""
        if math.isinf(self._pause_after):
            return False
        try:
            return len(self._folder.read_metrics()) >= self._pause_after
        except DamagedError:
            return False  # training will repair it

    def _get_corpus(self) -> Corpus:
        name = self._config.dataset
        if self._corpus is None or self._corpus[0] != name:
            self._corpus = None  # releases one corpus before it loads the next
            self._corpus = (name, ray.get(self._job.corpora[name]))
        return self._corpus[1]


def _other_code(job: Job) -> str:
    """Say that this node has joined the launch and has other code; "" if it was there, or has the same."""
    if ray.get_runtime_context().get_node_id() in job.nodes:
        return ""
    theirs = project()
    if theirs["digest"] == job.digest:
        return ""
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    what = f"source digest {theirs['digest'][:8]} in {theirs['place']}; the launch has {job.digest[:8]}"
    return (
        f"node {address} has joined with an lvae_core and sweeps that differ from "
        f"those of the launch ({what}); bring its checkout to the same commit, or remove the node"
    )


def _device_works(device: str) -> bool:
    """Whether the process can still use its GPU: some errors break CUDA until the process ends."""
    if not device.startswith("cuda"):
        return True
    import torch

    try:
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True
