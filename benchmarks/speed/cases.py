"""The cases of ``core_speed.py``, their variants and the lengths of their text. Never imports torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.fields.choices import Setting
from lvae_core.systems import recipe

PTB_LENGTHS = (12, 21, 32)
"""Predicted tokens at the quantiles 1/6, 1/2 and 5/6 of Penn Treebank's training sentences (mean 22)."""
YAHOO_LENGTHS = (80,)
"""Mean number of predicted tokens of Yahoo's documents."""

ENCODER_UPDATES = 15
"""Updates of the encoder before one of the decoder, in an aggressive step as it is measured. In training
there are 30 to 99, as the losses of each 15 decide."""

IW_SAMPLES = 500
IW_EXACT_SAMPLES = 24
"""Samples per sentence that two-phase evaluation scores in full."""

PLAIN = ("plain", "plain+malloc")
TRAINING: dict[str, dict[str, Any]] = {
    "ours float32": {"precision": "float32"},
    "ours bfloat16": {"precision": "bfloat16"},
}
EVALUATION: dict[str, dict[str, Any]] = {
    "ours float32": {"eval_precision": "float32", "iw_exact_samples": 0},
    "ours two-phase": {"eval_precision": "float32", "iw_exact_samples": IW_EXACT_SAMPLES},
    "ours two-phase, rough in bfloat16": {
        "precision": "bfloat16",
        "eval_precision": "float32",
        "iw_exact_samples": IW_EXACT_SAMPLES,
    },
    "ours bfloat16": {"eval_precision": "bfloat16", "iw_exact_samples": 0},
}
"""Our variants -> their changes of the config."""


class Mode(NamedTuple):
    """Numbers of concurrent processes and of threads in each: "2x1" is two processes of one thread."""

    processes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.processes}x{self.threads}"

    @staticmethod
    def parse(text: str) -> Mode:
        """Parse a mode. Raises InputError unless ``text`` is two positive numbers with an x between."""
        left, _, right = text.partition("x")
        if not (left.isdecimal() and right.isdecimal() and int(left) and int(right)):
            raise InputError(f"--modes {text}: write PROCESSESxTHREADS, such as 1x2 or 2x1")
        return Mode(int(left), int(right))


ONE_RUN, TWO_RUNS = Mode(1, 2), Mode(2, 1)


class Job(NamedTuple):
    """One measurement: a variant of the named case in a mode."""

    case: str
    variant: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.case}, {self.variant}, {self.mode}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case of the benchmark: one section of the table.

    Attributes:
        name: such as ptb/lstm-vae/L5/standard.
        config: config of the run whose training step or importance-weighted evaluation is measured.
        num_classes: V.
        lengths: predicted tokens per sentence in each batch; a pass is one step on each batch.
        task: train, or iw: log-likelihoods of sentences by importance sampling.
        baseline: the case whose plain variants are the reference of the ratios.
        modes: default modes of its measurements.
        warm_passes: smallest number of passes before the measurement.
        min_passes: smallest number of timed passes, however long they take.
    """

    name: str
    config: RunConfig
    num_classes: int
    lengths: tuple[int, ...] = PTB_LENGTHS
    task: Literal["train", "iw"] = "train"
    baseline: str
    modes: tuple[Mode, ...] = (ONE_RUN, TWO_RUNS)
    warm_passes: int = 2
    min_passes: int = 3

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, baselines first."""
        return (*PLAIN, *self._ours)

    @property
    def _ours(self) -> dict[str, dict[str, Any]]:
        if self.task == "iw":
            return EVALUATION
        rounds = self.config.inference != "semi_amortised"  # whose differences of gradients need float32
        return {
            name: fields for name, fields in TRAINING.items() if rounds or fields["precision"] == "float32"
        }

    @property
    def batch_size(self) -> int:
        """B, sentences per step."""
        return self.config.batch_size if self.task == "train" else self.config.eval_batch_size

    @property
    def tokens(self) -> int:
        """Predicted tokens of the text in a pass, not multiplied by L or S."""
        return self.batch_size * sum(self.lengths)

    def job(self, variant: str, mode: Mode) -> Job:
        """The measurement of a variant; for a plain variant that of the baseline."""
        return Job(self.baseline if variant in PLAIN else self.name, variant, mode)

    def jobs(self) -> list[Job]:
        """All measurements of the case, mode by mode, baselines first."""
        return [self.job(variant, mode) for mode in self.modes for variant in self.variants]

    def our_config(self, variant: str) -> RunConfig:
        """The config of one of our variants."""
        return replace(self.config, **self._ours[variant])

    def short(self, *modes: Mode) -> Case:
        """A shorter form of the case: only the middle length, fewer passes, one sentence for iw."""
        lengths = self.lengths[len(self.lengths) // 2 :][:1]
        config = replace(self.config, eval_batch_size=1)
        return replace(self, config=config, lengths=lengths, modes=modes, min_passes=2)

    def tiny(self, *modes: Mode) -> Case:
        """The case in milliseconds, to try the benchmark itself: its figures say nothing."""
        sizes = {"embedding_size": 6, "hidden_size": 8, "latent_size": 3, "batch_size": 4}
        changes: dict[str, Any] = {**sizes, "eval_batch_size": 2, "iw_samples": 40}
        config = replace(self.config, **changes)
        return replace(
            self, config=config, num_classes=600, lengths=(4,), modes=modes or self.modes, min_passes=2
        )


def cases(*, quick: bool) -> dict[str, Case]:
    """All cases by name; with ``quick`` short forms of the most informative ones."""
    every = {case.name: case for case in _all_cases()}
    if not quick:
        return every
    some = {
        "ptb/lstm-vae/L1/standard": (ONE_RUN, TWO_RUNS),
        "ptb/lstm-vae/L10/standard": (ONE_RUN,),
        "ptb/lstm-vae-avg/L10/standard": (ONE_RUN,),
        "ptb/lstm-vae/iw500/standard": (ONE_RUN,),
    }
    return {name: every[name].short(*modes) for name, modes in some.items()}


def _all_cases() -> list[Case]:
    settings: tuple[Setting, ...] = ("standard", "inputless")
    ptb = [
        _training("ptb", system, L, setting)
        for system, samples in (("lstm-lm", (1,)), ("lstm-vae", (1, 5, 10)), ("lstm-vae-avg", (5, 10)))
        for L in samples
        for setting in settings
    ]
    ptb += [
        _training("ptb", system, L, setting)
        for system, L in (("lstm-vmf-vae", 1), ("lstm-iwae", 5), ("cnn-lm", 1), ("cnn-vae", 1))
        for setting in settings
    ]
    ptb += [_long_step(system, setting) for system in ("sa-vae", "lstm-vae-ain") for setting in settings]
    one, ten = (_training("yahoo", "lstm-vae", L, "standard") for L in (1, 10))
    # Measured for its memory; a step takes half a minute on two cores.
    ten = replace(ten, modes=(ONE_RUN,), warm_passes=1, min_passes=1)
    return [*ptb, _evaluation(), one, ten]


def _training(dataset: str, system: str, L: int, setting: Setting, /) -> Case:
    samples = "" if system.endswith("-lm") else f"/L{L}"
    return Case(
        name=f"{dataset}/{system}{samples}/{setting}",
        config=recipe(system, dataset=dataset, num_samples=L, setting=setting),
        num_classes=10_000 if dataset == "ptb" else 20_000,
        lengths=PTB_LENGTHS if dataset == "ptb" else YAHOO_LENGTHS,
        # Plain code has no averaging = hidden: it decodes L times and computes L softmaxes.
        baseline=f"{dataset}/{system.removesuffix('-avg')}{samples}/{setting}",
    )


def _long_step(system: str, setting: Setting) -> Case:
    """A step of many passes, on one batch: so the batches that an aggressive step draws cost the same."""
    case = _training("ptb", system, 1, setting)
    return replace(case, lengths=PTB_LENGTHS[1:2], modes=(ONE_RUN,), warm_passes=1, min_passes=1)


def _evaluation() -> Case:
    name = f"ptb/lstm-vae/iw{IW_SAMPLES}/standard"
    # The decoder computes as many positions at once as with 32 sentences; only the step is shorter.
    config = replace(recipe("lstm-vae"), iw_samples=IW_SAMPLES, eval_batch_size=4)
    return Case(
        name=name, config=config, num_classes=10_000, lengths=PTB_LENGTHS[1:2], task="iw", baseline=name
    )
