"""Real run folders, written by the code that writes them in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.report.findings import Finding
from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import RunFolder, metrics_sha256
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe


def texts_of(findings: Iterable[Finding]) -> list[str]:
    """Each finding with its conclusions and reasons as one text."""
    return [" ".join([finding.text, *finding.details, *finding.reasons]) for finding in findings]


AVERAGING = {"lstm-lm": "none", "cnn-lm": "none", "lstm-vae": "loss", "lstm-vae-avg": "hidden"}

WriteRun = Callable[..., RunFolder]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write one run folder of a study under tmp_path."""
    return run_writer(tmp_path)


def run_writer(place: Path) -> WriteRun:
    """Make a function that writes run folders under ``place``.

    Its ``estimates`` are name -> value, (value, stderr), or the whole entry.
    """

    def write(
        system: str = "lstm-vae",
        num_samples: int = 1,
        setting: str = "standard",
        seed: int = 0,
        *,
        study: str = "study",
        dataset: str = "ptb",
        status: str = "done",
        data: str = "d" * 64,
        estimates: Mapping[str, float | tuple[float, float] | Mapping[str, float]] | None = None,
        result: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> RunFolder:
        averaging = fields.setdefault("averaging", AVERAGING.get(system, "loss"))
        fields.setdefault("encoder", "none" if averaging == "none" else "lstm")
        fields = {"patience_rule": recipe("lstm-lm", dataset=dataset).patience_rule, **fields}
        config = RunConfig(
            dataset=dataset,
            system=system,
            setting=setting,  # type: ignore[arg-type]
            seed=seed,
            num_samples=0 if averaging == "none" else num_samples,
            **fields,
        )
        identity = fingerprint(config, data)
        folder = Study(str(place / study)).run(run_name(config, identity))
        folder.write_config(config, identity)
        if status == "failed":
            folder.write_failure("diverged", "the loss is nan in epoch 2", "Traceback …")
        if status == "done":
            default = (
                {"nll": 100.0, "ppl": 90.0}
                if averaging == "none"
                else {"nll_elbo": 100.0, "ppl_elbo": 90.0}
            )
            folder.write_json(
                "result.json",
                {
                    "fingerprint": identity,
                    "config": config.to_dict(),
                    "data_sha256": data,
                    "estimates": {
                        name: {"value": value[0], "stderr": value[1]}
                        if isinstance(value, tuple)
                        else dict(value)
                        if isinstance(value, Mapping)
                        else {"value": value}
                        for name, value in (default if estimates is None else estimates).items()
                    },
                    "tokens": 82430,
                    "sentences": 3761,
                    "parameters": 12,
                    "best_epoch": 3,
                    "epochs": 4,
                    "steps": 99,
                    "train_seconds": 1800.0,
                    "evaluate_seconds": 900.0,
                    **(result or {}),
                },
            )
        return folder

    return write


HOSTILE = '</script><img src=x onerror="alert(1)"> & "quoted"'
"""Text that a run folder may hold and that no page may execute."""


@pytest.fixture
def small_grid(tmp_path: Path) -> Callable[..., None]:
    """Write a small study of PTB under tmp_path."""
    return grid_writer(tmp_path)


def grid_writer(place: Path) -> Callable[..., None]:
    """Make a function that writes a PTB study: three systems, two settings, three seeds, one failed run."""
    write_run = run_writer(place)

    def write(study: str = "study", shift: float = 0.0, **fields: Any) -> None:
        for setting, base in (("standard", 100.0), ("inputless", 130.0)):
            for system, L in (("lstm-lm", 0), ("lstm-vae", 1), ("lstm-vae", 5), ("lstm-vae-avg", 5)):
                for seed in range(3):
                    nll = (
                        base + shift + {"lstm-lm": 0, "lstm-vae": 1, "lstm-vae-avg": -3}[system] + seed / 8
                    )
                    kl = {"lstm-lm": 0.0, "lstm-vae": 2.0}.get(system, 7.0) + seed / 4
                    rows = _curve(nll, kl, latent=L > 0)
                    estimates: dict[str, float | tuple[float, float]] = {"nll": nll, "ppl": nll - 10}
                    if L:
                        estimates = {"nll_elbo": (nll, 0.02), "ppl_elbo": nll - 10, "kl": (kl, 0.01)}
                        estimates |= {"nll_iw": nll - 0.5, "mi": kl * 0.9, "au": 3 + seed}
                    if system == "lstm-vae-avg":
                        estimates |= {"nll_joint": nll + (L - 1) * kl, "nll_iw_joint": nll + (L - 2) * kl}
                    folder = write_run(
                        system,
                        max(1, L),
                        setting,
                        seed,
                        study=study,
                        estimates=estimates,
                        result={"metrics_sha256": metrics_sha256(rows)},
                        **fields,
                    )
                    folder.write_metrics(rows)
                    commit = {"commit": "c0ffee" * 6, "host": HOSTILE, "device": "cpu"}
                    folder.write_json("provenance.json", {"attempts": [commit]})
        failed = write_run("lstm-vae", 5, "standard", 3, study=study, status="failed", **fields)
        failed.write_failure("code", HOSTILE, "Traceback …")

    return write


def _curve(nll: float, kl: float, *, latent: bool) -> list[dict[str, Any]]:
    """Twelve epochs, with a lower learning rate from the eleventh on."""
    rows = []
    for epoch in range(1, 13):
        row = {"epoch": epoch, "step": 10 * epoch, "learning_rate": 1.0 if epoch < 11 else 0.5}
        row |= {"train_nll": nll, "valid_nll": nll + 9 / epoch, "valid_ppl": nll + 50 / epoch}
        rows.append(row | ({"kl_weight": min(1, epoch / 10), "valid_kl": kl + 3 / epoch} if latent else {}))
    return rows
