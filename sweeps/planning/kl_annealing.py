"""Say before a sweep that training ends while the weight of the KL still rises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
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
    """The limits that end a run before β has risen: ``max_epochs = 3 ends before …``; "" if none does.

    Cyclical annealing has risen after half a cycle.
    """
    if config.kl_schedule != "linear" or config.kl_start == 1 or not config.kl_weight:
        return ""
    unit = "steps" if config.kl_anneal_steps else "epochs"
    annealing = config.kl_anneal_steps or config.kl_anneal_epochs
    limits = {f"max_epochs = {config.max_epochs}": float(config.max_epochs)}
    if unit == "steps" or config.max_steps:
        per_epoch = corpus.train.num_batches(config)
        scale = per_epoch if unit == "steps" else 1
        limits = {words: epochs * scale for words, epochs in limits.items()}
        if config.max_steps:
            limits[f"max_steps = {config.max_steps}"] = config.max_steps * scale / per_epoch
    words, trained = min(limits.items(), key=lambda limit: limit[1])
    return f"{words} ends before kl_anneal_{unit} = {annealing:g}" if trained < annealing else ""
