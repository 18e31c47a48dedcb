"""Another evaluation of a trained run, from its checkpoint and without training."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import WHOLE, Part, join
from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import columns_of, likelihood_estimates
from lvae_core.identity import EVALUATION_VERSION, evaluation_id, evaluation_values
from lvae_core.run_folder.claims import Claim, acquire
from lvae_core.run_folder.evaluations import (
    evaluation_file,
    evaluation_of,
    failure_file,
    is_progress,
    part_count,
    read_evaluation,
)
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.training.failures import check_finite
from lvae_core.training.provenance import describe_attempt
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.scoring import Scoring, Work
from lvae_core.training.state import TrainState, check_evaluated, load_checkpoint

_log = logging.getLogger("lvae.run_folder")


def evaluate_again(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, claim: Claim | None = None
) -> Generator[Progress, None, None]:
    """Evaluate a trained run again and write the estimates beside its result.

    Yields often; between two yields it may be closed, upon which it saves its progress. Killed anywhere, it
    resumes bit for bit. The numbers are those that training with ``config`` would have put into the result.
    Parts that :func:`evaluate_part` has scored are used, and those that are missing are scored here.
    A damaged file of this evaluation is set aside, with a warning to the logger ``lvae.run_folder``.

    Args:
        config: of the run, with other fields of evaluation.
        corpus: that the run was trained on.
        folder: of the run.
        runtime: how it is executed.
        claim: on ``folder``; None: one is acquired. It is released at the end.

    Raises:
        InputError: the run is not trained, was trained on other data, or has no checkpoint with the
            parameters to evaluate.
        DivergedError: an estimate is not finite.
        HeldError: another process works on the run.
        ClaimLostError: another process has taken the run over.
        DamagedError: the run's result.json is not what was written.
        OSError: the storage failed.
    """
    with claim or acquire(folder, runtime.launch) as claim:
        folder.set_leftovers_aside()
        result = _result(folder, corpus)
        if _find_evaluation(folder, result, evaluation_id(config)):
            if folder.has(failure := failure_file(evaluation_id(config))):
                folder.clear_failure(failure)
        else:
            work = Work(config, corpus, folder, runtime, _trained(folder, result, config), result, claim)
            batches = len(WHOLE.batches(corpus.test, config))
            count = part_count(folder, work.evaluation, batches) or 1
            parts = [Scoring(work, Part(number, count)) for number in range(1, count + 1)]
            for part in parts:
                yield from part.score()
            _write(work, parts)
    yield Progress(phase="done", epoch=0, step=0, fraction=1.0)


def evaluate_part(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime, part: Part
) -> Generator[Progress, None, None]:
    """Score one part of the test split of a trained run, for :func:`evaluate_again` to use.

    Parts can be scored at the same time, by processes that see the same storage. They claim nothing: two
    processes with the same part write the same bits. Yields, stops and resumes as evaluate_again does; the
    arguments and errors are the same.

    Raises:
        InputError: also if there are more parts than batches, or if the run has been deleted or moved when
            the part is saved.
    """
    result = _result(folder, corpus)
    # A part without batches has nothing to save, so such a division could never be joined.
    if part.count > len(WHOLE.batches(corpus.test, config)):
        raise InputError(
            f"--part {part}: more parts than the test split has batches; "
            "divide it into fewer parts, or set a smaller eval_batch_size"
        )
    if not _find_evaluation(folder, result, evaluation_id(config)):
        yield from Scoring(
            Work(config, corpus, folder, runtime, _trained(folder, result, config), result), part
        ).score()
    yield Progress(phase="done", epoch=0, step=0, fraction=1.0)


def _write(work: Work, parts: Sequence[Scoring]) -> None:
    """Write the estimates from all parts, and delete the files of the parts."""
    config, folder, trained, test = work.config, work.folder, work.trained, work.corpus.test
    begun = time.monotonic()
    rows = join([part.rows for part in parts], test, config)
    columns = columns_of("test", config, work.corpus.vocabulary.unknown_id)
    estimates = likelihood_estimates(rows, test.num_tokens, config, columns)
    estimates |= latent_estimates(work.model, test, config)
    check_finite(estimates)
    attempt = describe_attempt(
        from_step=trained.step,
        device=work.runtime.device,
        threads=work.runtime.threads,
        precision=trained.precision,
        data_sha256=work.corpus.data_sha256,
    )
    record = {
        "fingerprint": trained.fingerprint,
        "metrics_sha256": work.metrics_sha256,
        "evaluation": work.evaluation,
        "version": EVALUATION_VERSION,
        "config": evaluation_values(config),
        "estimates": estimates,
        "tokens": test.num_tokens,
        "sentences": len(test),
        "precision": trained.precision,
        "evaluate_seconds": round(sum(part.state.seconds for part in parts) + time.monotonic() - begun, 3),
        "attempt": attempt,
    }
    work.check_run()
    folder.write_json(evaluation_file(work.evaluation), record)
    for file in folder.store.names(folder.name):
        if is_progress(file, work.evaluation):
            folder.store.delete(f"{folder.name}/{file}")
    folder.clear_failure(failure_file(work.evaluation))


def _result(folder: RunFolder, corpus: Corpus) -> dict[str, Any]:
    """The result of a run that is trained on this corpus."""
    result = folder.read_json("result.json")
    if result is None:
        raise InputError(f"{folder}: not finished; finish it first with `python -m lvae_core run`")
    if result.get("data_sha256") != corpus.data_sha256:
        raise InputError(
            f"{folder}: trained on other data than {corpus.name} holds now; "
            "give the --data-dir that it was trained with"
        )
    return result


def _find_evaluation(folder: RunFolder, result: Mapping[str, Any], wanted: str) -> bool:
    """Return whether a trained run has this evaluation; set a damaged file of it aside."""
    if evaluation_of(result) == wanted:
        return True
    file = evaluation_file(wanted)
    try:
        return read_evaluation(folder, file, result) is not None
    except DamagedError as damage:
        _log.warning("%s; set aside as %s", damage, folder.set_aside(file))
        return False


def _trained(folder: RunFolder, result: Mapping[str, Any], config: RunConfig) -> TrainState:
    """The state of a trained run with the parameters that ``config`` evaluates."""
    state = load_checkpoint(folder, str(result.get("fingerprint")))
    if state is None:
        raise InputError(
            f"{folder}: its checkpoint is missing or damaged; restore checkpoint.pt, or move result.json "
            "away and run it again to train it anew"
        )
    check_evaluated(state, folder, result, config)
    _check_not_reloaded(state, folder, config)
    return state


def _check_not_reloaded(state: TrainState, folder: RunFolder, config: RunConfig) -> None:
    """Raise an InputError if ``config`` evaluates the last epoch, whose parameters are lost.

    Earlier versions reloaded the best ones after the last epoch, too.
    """
    if config.tested_epoch == "last" and state.rate.reload and state.rate.best_epoch != state.epoch:
        best = state.best_parameters
        if all(torch.equal(value, best[name]) for name, value in state.parameters.items()):
            raise InputError(
                f"{folder}: an earlier version put the best parameters in place of those of the last "
                f"epoch, {state.epoch}; leave tested_epoch=last out, or train it again in another folder"
            )
