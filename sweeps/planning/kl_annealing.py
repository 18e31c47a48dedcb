"""Say before a sweep that training ends while the weight of the KL still rises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.kl_annealing import annealing_epochs
from lvae_core.messages import numbered


def annealing_note(configs: Iterable[RunConfig], corpora: Mapping[str, Corpus]) -> str:
    """Say in one line which limits end runs within KL annealing, even at the last epoch; else "".

    Such models have never been held to the full KL, so reports draw no conclusion from an unused z.

    Args:
        configs: the runs.
        corpora: dataset -> its corpus, which fixes the number of steps of an epoch.
    """
    latent: set[RunConfig] = set()
    ending: dict[RunConfig, str] = {}
    for config in configs:
        if config.encoder == "none":
            continue
        latent.add(config)
        if words := _ends_within(config, corpora[config.dataset]):
            ending[config] = words
    if not ending:
        return ""
    first, *more = dict.fromkeys(ending.values())
    others = f" (and {numbered(len(more), 'other case')})" if more else ""
    models = "models" if len(ending) == len(latent) else f"{len(ending)} of {len(latent)} runs"
    return f"{first}{others}: {models} with z cannot be compared"


def _ends_within(config: RunConfig, corpus: Corpus) -> str:
    """The limits that end a run before β has risen: ``max_epochs = 3 ends before …``; "" if none does."""
    trained = corpus.epochs_at_most(config)
    annealing = annealing_epochs(
        schedule=config.kl_schedule,
        start=config.kl_start,
        weight=config.kl_weight,
        epochs=config.kl_anneal_epochs,
        steps=config.kl_anneal_steps,
        steps_per_epoch=corpus.train.num_batches(config),
    )
    if trained >= annealing:
        return ""
    named = "kl_anneal_steps" if config.kl_anneal_steps else "kl_anneal_epochs"
    limit = "max_steps" if trained < config.max_epochs else "max_epochs"
    return f"{limit} = {getattr(config, limit)} ends before {named} = {getattr(config, named):g}"
