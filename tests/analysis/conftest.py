"""Real run folders, written through the same code that a run writes them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lvae_core.config import RunConfig, fingerprint
from lvae_core.record import RunFolder, Study, run_name

AVERAGING = {"lstm-lm": "none", "lstm-vae": "loss", "lstm-vae-avg": "hidden"}

WriteRun = Callable[..., RunFolder]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write one run folder of a study under tmp_path; ``estimates`` is name -> value or (value, stderr)."""

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
        estimates: Mapping[str, float | tuple[float, float]] | None = None,
        result: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> RunFolder:
        averaging = AVERAGING.get(system, "loss")
        config = RunConfig(
            dataset=dataset,
            system=system,
            setting=setting,  # type: ignore[arg-type]
            seed=seed,
            encoder="none" if averaging == "none" else "lstm",
            averaging=averaging,  # type: ignore[arg-type]
            num_samples=0 if averaging == "none" else num_samples,
            **fields,
        )
        identity = fingerprint(config, data)
        folder = Study(str(tmp_path / study)).run(run_name(config, identity))
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
