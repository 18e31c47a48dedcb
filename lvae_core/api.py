"""Train, evaluate, load and sample runs from Python; the names that ``from lvae_core import …`` gives.

The functions do what the commands of ``python -m lvae_core`` do, on the same run folders.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus, load_for
from lvae_core.errors import InputError, check_data_dir, check_type, whole_number
from lvae_core.evaluation import generate as sentences
from lvae_core.evaluation.decoding import Decoding, unread
from lvae_core.evaluation.generate import Trained
from lvae_core.identity import evaluation_id
from lvae_core.run_folder.estimates import bound
from lvae_core.run_folder.evaluations import failure_file, find_evaluation, other_values
from lvae_core.run_folder.folder import FAILURE, RunFolder
from lvae_core.run_folder.lookup import open_run
from lvae_core.run_folder.names import CellName
from lvae_core.settings import with_evaluation
from lvae_core.training import trained
from lvae_core.training.carry_out import (
    carry_out,
    check_new,
    check_parent_of_new,
    claim_patiently,
    train_patiently,
)
from lvae_core.training.evaluate_again import evaluate_again
from lvae_core.training.modes import Modes
from lvae_core.training.runtime import Progress, make_runtime

_log = logging.getLogger("lvae.run_folder")

Estimates = dict[str, dict[str, Any]]
"""Name -> ``value`` and, if it is sampled, ``stderr`` and further diagnostics; see docs/estimates.md.

A likelihood or perplexity also has ``bound``, how it bounds -log p(x): "exact", "upper bound", "upper bound
in expectation" or "not a bound". Files and ``Run.result`` have no such entry.
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run and its folder. The numbers are read from the folder whenever they are asked for."""

    folder: RunFolder
    config: RunConfig
    """That the run was finished with, else the one it was begun with; see :func:`load`."""

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {CellName.of(self.config).words}, seed {self.config.seed})"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row per finished epoch, as in ``metrics.jsonl``."""
        return self.folder.read_metrics()

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of ``result.json``; None if the run is not finished."""
        return self.folder.read_json("result.json")

    @property
    def estimates(self) -> Estimates:
        """The test estimates, each likelihood with its ``bound``; empty if the run is not finished."""
        return _with_bounds((self.result or {}).get("estimates", {}), self.config)

    @property
    def trained(self) -> Trained:
        """Config, model of the tested epoch (a ``torch.nn.Module`` on the CPU) and vocabulary.

        They are read again each time until the run is finished.
        """
        return self._finished if self.folder.has("result.json") else self._load()

    @functools.cached_property
    def _finished(self) -> Trained:
        return self._load()

    def _load(self) -> Trained:
        with Modes().own():
            return trained.load(self.folder)


def train(
    config: RunConfig,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_minutes: float = 10.0,
    progress: Callable[[Progress], object] | None = None,
) -> Run:
    """Train and evaluate a run, or resume it from its folder; a finished run is returned at once.

    Ctrl-C (in a notebook: Interrupt) saves the run before it raises KeyboardInterrupt; the same call
    resumes it to the same last bit.

    Args:
        config: as :func:`~lvae_core.data.new_run.recipe` makes it; ``dataclasses.replace`` changes fields.
        out: the run folder, a path or URL.
        data_dir: folder of the public datasets; None: ``$LVAE_DATA_DIR``, else ``./data``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: of the CPU.
        checkpoint_minutes: save after so many minutes, also within an epoch.
        progress: called about once a second. An error that it raises stops the run, which is saved.

    Raises:
        InputError: bad input: the message is one line, what, where and remedy. For a new run this includes
            a config that is called one system and is another.
        DivergedError: the loss is no longer finite or far above that of guessing.
        DamagedError: the folder's ``result.json`` is not what was written.
    """
    check_type("config", config, RunConfig, "a RunConfig, such as recipe('lstm-vae')")
    runtime = make_runtime(device, threads, checkpoint_minutes)
    folder = _folder(out)
    corpus = _corpus(config, data_dir)
    _check_progress(progress)
    check_new(config, folder)
    for warning in corpus.warnings:
        _warn_once(warning)
    check_parent_of_new(config, corpus, folder)
    _carry_out(folder, lambda: train_patiently(config, corpus, folder, runtime), progress)
    run = load(out)
    if others := other_values(config, run.result or {}):
        asked = ", ".join(f"{name}={value!r}" for name, value in others.items())
        _log.warning(
            f"{folder}: finished with other values than {asked}; evaluate(run, {asked}) computes these"
        )
    return run


def load(out: str | Path) -> Run:
    """Open a run folder.

    Args:
        out: a path or URL of a run made by :func:`train`, the command or a sweep, finished or not.

    Raises:
        InputError: there is no run.
        DamagedError: its ``config.json`` is damaged.
    """
    folder = _folder(out)
    config = folder.read_latest_config()
    if config is None:
        raise InputError(f"{folder}: no run folder; make one with train(config, out)")
    return Run(folder, config)


def evaluate(
    run: Run | str | Path,
    *,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[Progress], object] | None = None,
    **fields: Any,
) -> Estimates:
    """Evaluate a trained run with other fields of evaluation, without training it.

    Args:
        run: as returned by :func:`train` or :func:`load`, or its folder.
        data_dir: see :func:`train`.
        device: see :func:`train`.
        threads: see :func:`train`.
        progress: see :func:`train`.
        **fields: fields that the estimates read, such as ``iw_samples=5000``.

    Returns:
        The estimates, which the folder keeps beside those of its result. Each likelihood has its ``bound``:
        of an averaged system with L > 1, such as lstm-vae-avg, ``nll_iw`` is "not a bound", and
        ``nll_iw_joint`` is the one to quote.

    Raises:
        InputError: a field is no such field, or the run is not trained on this data.
        DivergedError: an estimate is not finite.
    """
    run = _opened(run)
    folder = run.folder
    config = with_evaluation(run.config, fields)
    _check_progress(progress)
    wanted = evaluation_id(config)
    found = find_evaluation(folder, wanted)
    if found is None:
        runtime = make_runtime(device, threads)
        corpus = _corpus(config, data_dir)
        _carry_out(
            folder,
            lambda: evaluate_again(config, corpus, folder, runtime, claim_patiently(folder, runtime)),
            progress,
            failure_file(wanted),
        )
        found = find_evaluation(folder, wanted)
        assert found is not None  # it has just been written
    return _with_bounds(found["estimates"], config)


def generate(run: Run | str | Path, count: int = 5, **decoding: Any) -> list[str]:
    """Draw sentences: each from its own z of the prior, or by sampling from a language model.

    Args:
        run: as returned by :func:`train` or :func:`load`, or its folder.
        count: the number of sentences.
        **decoding: ``method`` ("greedy", "sample" or "beam"; by default greedy, for a language model
            sample), ``temperature`` of "sample", ``beam_width`` of "beam", ``max_length`` in words,
            ``seed``.

    Raises:
        InputError: the run has no finished epoch, a value lies outside its range, or the method does not
            read it.
    """
    count = whole_number("count", count)
    if count < 1:
        raise InputError(f"count = {count}: must be at least 1")
    found = _opened(run).trained
    with Modes().own():
        return sentences.from_prior(found, count, _decoding(found, decoding))


def reconstruct(run: Run | str | Path, texts: Sequence[str], **decoding: Any) -> list[str]:
    """Decode each sentence from the mean of its posterior q(z|x).

    Args:
        run: as returned by :func:`train` or :func:`load`, or its folder.
        texts: sentences, their words between spaces.
        **decoding: see :func:`generate`.

    Raises:
        InputError: the model has no latent variable, a sentence cannot be encoded, or ``texts`` is one
            string.
    """
    if isinstance(texts, str):
        raise InputError(f"texts = {texts!r}: give a list of sentences, [{texts!r}]")
    check_type("texts", texts, Iterable, "a list of sentences")
    texts = list(texts)
    for index, text in enumerate(texts):
        check_type(f"texts[{index}]", text, str, "a sentence, its words between spaces")
    found = _opened(run).trained
    with Modes().own():
        return sentences.reconstruct(found, texts, _decoding(found, decoding))


def interpolate(run: Run | str | Path, first: str, last: str, count: int = 5, **decoding: Any) -> list[str]:
    """Decode ``count`` points on the way between the posterior means of two sentences, ends included.

    The way is a straight line, or, if z lies on a sphere as in lstm-vmf-vae, the arc of a great circle.

    Args:
        run: as returned by :func:`train` or :func:`load`, or its folder.
        first: a sentence, its words between spaces.
        last: another one.
        count: at least 2.
        **decoding: see :func:`generate`.

    Raises:
        InputError: as :func:`reconstruct`, or ``count`` is below 2.
    """
    for name, text in (("first", first), ("last", last)):
        check_type(name, text, str, "a sentence, its words between spaces")
    count = whole_number("count", count)
    found = _opened(run).trained
    with Modes().own():
        return sentences.interpolate(found, first, last, count, _decoding(found, decoding))


def _with_bounds(estimates: Mapping[str, Mapping[str, Any]], config: RunConfig) -> Estimates:
    """Add to each likelihood how it bounds -log p(x), as the command prints it."""
    marked: Estimates = {}
    for name, estimate in estimates.items():
        kind = bound(name, config.averaging, config.num_samples)
        marked[name] = {**estimate, "bound": kind} if kind else dict(estimate)
    return marked


@functools.cache
def _warn_once(warning: str) -> None:
    """Log a warning about data, which a script that trains many runs would repeat for each of them."""
    logging.getLogger("lvae.data").warning(warning)


def _carry_out(
    folder: RunFolder,
    start: Callable[[], Generator[Progress, None, None]],
    progress: Callable[[Progress], object] | None,
    failure: str = FAILURE,
) -> None:
    if not carry_out(folder, start, progress or (lambda report: None), failure):
        raise KeyboardInterrupt(f"stopped; the run is saved in {folder}; do the same again to resume it")


def _opened(run: Run | str | Path) -> Run:
    check_type("run", run, (Run, str, Path), "a Run, as train() and load() return it, or its folder")
    return run if isinstance(run, Run) else load(run)


def _folder(out: str | Path) -> RunFolder:
    check_type("out", out, (str, Path), "the path or URL of a run folder")
    return open_run(str(out))


def _corpus(config: RunConfig, data_dir: str | Path | None) -> Corpus:
    check_data_dir(data_dir)
    return load_for(config, data_dir)


def _check_progress(progress: object) -> None:
    if progress is not None and not callable(progress):
        raise InputError(f"progress = {progress!r}: must be a function of a Progress")


def _decoding(found: Trained, given: Mapping[str, Any]) -> Decoding:
    known = {field.name for field in dataclasses.fields(Decoding)}
    for name in given:
        if name not in known:
            raise InputError(f"{name}: no option of decoding; choose from {', '.join(sorted(known))}")
    method = "sample" if found.model.encoder is None else "greedy"
    decoding = Decoding(**{"method": method, **given})
    for name, reader in unread(decoding.method, given):
        raise InputError(
            f'{name} = {given[name]:g}: method="{decoding.method}" does not read it; give '
            f'method="{reader}", or leave it out'
        )
    return decoding
