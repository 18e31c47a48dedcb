"""Runs of milliseconds, for tests of what a run does and writes."""

from lvae_core.config import RunConfig
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.trainer import execute

from .. import tiny

CORPUS = tiny.corpus()
OFTEN = Runtime(progress_seconds=0)


def short(system="lstm-vae", **fields) -> RunConfig:
    """A run of milliseconds."""
    base = {"batch_size": 4, "max_epochs": 3, "iw_samples": 4, "mi_samples": 2, "eval_batch_size": 2}
    return tiny.config(system, **(base | fields))


def run(config, folder, *, corpus=CORPUS, runtime=OFTEN) -> list[Progress]:
    return list(execute(config, corpus, folder, runtime))


def sentences_of(split) -> list[list[int]]:
    return [split.sentence(i).tolist() for i in range(len(split))]
