"""What a run must have for the fields of a part to be read, in the words of an error message."""

from __future__ import annotations

NEEDS: dict[str, str] = {
    "latent variable": "a system with a latent variable",
    "decoder's words": "setting=standard",
    "encoder's and decoder's words": "a latent variable and setting=standard",
    "Gaussian posterior": "a latent variable and posterior=gaussian",
    "von Mises-Fisher posterior": "posterior=von_mises_fisher, as in lstm-vmf-vae",
    "hidden word under dropout": "dropout above 0, with setting=inputless or word_dropout above 0",
    "words of several samples under dropout": (
        "a latent variable, num_samples above 1, and dropout or word_dropout above 0"
    ),
    "averaged states under dropout": (
        "num_samples above 1, dropout above 0 and averaging=hidden, as in lstm-vae-avg"
    ),
    "states of several samples under dropout": (
        "a latent variable, num_samples above 1, dropout above 0, and no averaging=hidden or "
        "dropout_before_average=true"
    ),
    "ELBO objective": "a latent variable and objective=elbo",
    "importance-weighted objective": "objective=importance_weighted, as in lstm-iwae",
    "semi-amortised inference": "inference=semi_amortised, as in sa-vae",
    "clipped reverse pass": "sa_clip=consistent and inference=semi_amortised, as in sa-vae",
    "cyclical annealing": "kl_schedule=cyclical, as in lstm-vae-cyclical",
    "linear annealing": "a latent variable and kl_schedule=linear",
    "LSTM state": "a latent variable or decoder=lstm",
    "LSTM decoder's start": "a latent variable and decoder=lstm",
    "CNN decoder": "decoder=cnn, as in cnn-vae",
    "aggressive step": "step=aggressive, as in lstm-vae-ain",
    "Adam": "optimiser=adam",
    "plateau schedule": "lr_schedule=plateau",
    "plateau while annealing": "a latent variable and lr_schedule=plateau",
    "decay from an epoch": "lr_schedule=after_plateau, every or reload_best",
    "decay after a plateau": "lr_schedule=after_plateau",
    "decay at intervals": "lr_schedule=every",
    "reload of the best": "lr_schedule=reload_best",
}
"""Part of a system, as in :data:`lvae_core.fields.declaration.PARTS` -> what it needs. Every run has the
part that is not listed."""
