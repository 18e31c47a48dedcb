"""A training step of every system while CUDA refuses to make the CPU wait for the GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

from gpu.checks.subjects import SETTINGS, config_of, corpus
from gpu.records import Record, Settings, check, note, run_part
from lvae_core.data.batches import collate
from lvae_core.fields.choices import Setting
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.systems import SYSTEMS
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation import aggressive
from lvae_core.training.optimisation.parts import STEPS, make_learner
from lvae_core.training.optimisation.step import Moment
from lvae_core.training.runtime import Runtime

INVISIBLE = (
    "cannot be seen on a CPU, where nothing waits; "
    "tests/lvae_core/training/optimisation/test_waiting.py looks for what would wait"
)


def work(settings: Settings) -> Iterator[Record]:
    """Check every system in both precisions; the inputless setting of a few."""
    if not settings.is_gpu:
        yield note("steps that wait for the GPU", INVISIBLE)
        return
    subjects: list[tuple[str, Setting, Arithmetic]] = [
        *((system, SETTINGS[0], "float32") for system in SYSTEMS),
        *((system, SETTINGS[0], "bfloat16") for system in SYSTEMS),
        *(
            (system, SETTINGS[1], "float32")
            for system in ("lstm-lm", "lstm-vae", "lstm-vae-avg", "cnn-vae")
        ),
    ]
    for system, setting, precision in subjects:
        name = f"{system}, {setting}, {precision}"
        if settings.wants(name):
            yield check(name, lambda a=system, b=setting, c=precision: step(a, b, c, settings))


def step(system: str, setting: Setting, precision: Arithmetic, settings: Settings) -> str:
    """Take two steps to set everything up and one that must not wait."""
    config = config_of(system, setting, tiny=settings.tiny, dropout=0.3, sa_clip="consistent", batch_size=6)
    set_arithmetic(config, Runtime(device=settings.device))
    text = corpus(200, 30, 9)
    learner = make_learner(config, text, settings.device)
    compute_in(learner.model, precision)
    taking, memory = STEPS[config.step](), dict[str, Any]()

    def take(number: int) -> None:
        batch = collate(text.train, np.arange(6)).to(settings.device)
        taking.take(learner, batch, Moment(number, 0.5, 0.1), memory)

    # An aggressive step reads its loss after fifteen updates of the encoder; here it takes fewer.
    with mock.patch.object(aggressive, "MAX_UPDATES", 3):
        take(0)
        take(1)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            take(2)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return "a step waits for nothing"


if __name__ == "__main__":
    sys.exit(run_part(work))
