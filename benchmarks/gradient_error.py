"""Measure the error of the gradients of a training step, against the plain formulas in float64.

    python benchmarks/gradient_error.py [--systems lstm-lm lstm-vae/L10] [--setting inputless]

The sizes are those of Penn Treebank, the text is synthetic: one batch with padding, after some steps of
training. Noise and dropout masks are drawn in float32 from (seed, step) in every arithmetic, so that all
gradients are those of the same function, with dropout.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args
from unittest import mock

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from speed.cases import Case, cases
from speed.measure import synthetic_text
from speed.present import machine
from torch import Tensor

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.data.batches import Batch, collate
from lvae_core.errors import InputError, check_name
from lvae_core.fields.choices import Setting
from lvae_core.model.layers import precision
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.text_model import TextModel
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_optimiser
from lvae_core.training.runtime import Runtime, check_device

BATCHES = 3
"""Number of batches, each of unequal sentences. Training uses all in turn; the error is of the first."""

NOTES = """\
2-norm of the difference from the gradient in float64, relative to the 2-norm of that gradient.
plain: all logits at once, by autograd. emulated: rounded to bfloat16 and multiplied in float32,
as on processors without bfloat16 instructions (see the machine below)."""


class Method(NamedTuple):
    """A method of computing a gradient; ``real``: multiply in bfloat16 even without instructions for it."""

    name: str
    arithmetic: Arithmetic
    real: bool = True
    dtype: torch.dtype = torch.float32


REFERENCE = Method("float64, plain", "reference", dtype=torch.float64)
METHODS = (
    Method("float32, plain", "reference"),
    Method("float32", "float32"),
    Method("bfloat16", "bfloat16"),
    Method("bfloat16, emulated", "bfloat16", real=False),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    systems: tuple[str, ...] = ("lstm-lm", "lstm-vae/L1", "lstm-vae/L10", "lstm-vae-avg/L10")
    """Systems with their L."""
    setting: str = "standard"
    """standard or inputless."""
    steps: int = 20
    """Steps of training before the gradient is computed."""
    device: str = "cpu"
    """cpu, cuda or cuda:0."""
    threads: int = 1
    """CPU threads."""

    def selected(self) -> list[Case]:
        """The cases to compute.

        Raises:
            InputError: an option cannot be used.
        """
        check_name(self.setting, get_args(Setting), "setting")
        every = cases(quick=False).values()
        known = {
            case.name.removeprefix("ptb/").removesuffix(f"/{self.setting}"): case
            for case in every
            if case.task == "train" and case.name.startswith("ptb/") and case.config.setting == self.setting
        }
        for name in self.systems:
            check_name(name, known, "system")
        for option, value, least in (("steps", self.steps, 0), ("threads", self.threads, 1)):
            if value < least:
                raise InputError(f"--{option} {value}: must be at least {least}")
        check_device(self.device)
        return [known[name] for name in self.systems]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_status(lambda: run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Measure, print one table and return the exit status."""
    options = parsed(
        lambda: tyro.cli(Options, args=arguments, prog="gradient_error.py", description=__doc__)
    )
    selected = options.selected()
    runtime = Runtime(device=options.device, threads=options.threads)
    out = Console() if sys.stdout.isatty() else Console(width=120)
    out.print(
        table([(case.name, list(relative_errors(case, options.steps, runtime))) for case in selected])
    )
    gpu = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else ""
    command = shlex.join(["python", "benchmarks/gradient_error.py", *arguments])
    note = f"{machine(gpu, torch.__version__)}\n{command}"
    out.print(note, markup=False, highlight=False, soft_wrap=True)
    return 0


def relative_errors(case: Case, steps: int, runtime: Runtime) -> Iterator[tuple[str, list[float]]]:
    """Relative errors of all ``METHODS``: of the loss, each parameter's gradient, and all gradients."""
    set_arithmetic(case.config, runtime)
    parameters, batch = train(case, steps, runtime.device)
    reference = gradients(case, parameters, batch, steps, REFERENCE)
    found = []
    for number, method in enumerate(METHODS, 1):
        print(f"{case.name}: {method.name} [{number}/{len(METHODS)}]", file=sys.stderr, flush=True)
        found.append(gradients(case, parameters, batch, steps, method))
    for name in reference:
        yield (
            name,
            [float((each[name] - reference[name]).norm() / reference[name].norm()) for each in found],
        )


def train(case: Case, steps: int, device: str) -> tuple[dict[str, Tensor], Batch]:
    """Train a model in float32; return its parameters and the batch for the gradients."""
    split = synthetic_text(case)
    # Every third sentence: neighbours have the same length, so a batch of them would have no padding.
    batches = [collate(split, np.arange(k, len(split), BATCHES)).to(device) for k in range(BATCHES)]
    model = TextModel(case.config, case.num_classes).to(device)
    compute_in(model, "float32")
    optimiser = make_optimiser(model, case.config)
    for step in range(steps):
        loss = objective(model, batches[step % BATCHES], case.config, kl_weight=1.0, step=step).loss
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(case.config.learning_rate)
    return model.state_dict(), batches[0]


def gradients(
    case: Case, parameters: Mapping[str, Tensor], batch: Batch, step: int, method: Method
) -> dict[str, Tensor]:
    """Compute the loss, the gradient of each parameter, and all gradients as one vector, in float64."""
    model = TextModel(case.config, case.num_classes).to(batch.words.device)
    model.load_state_dict(parameters)
    model.to(method.dtype)
    compute_in(model, method.arithmetic)
    with mock.patch.object(precision, "multiplies_bfloat16", return_value=method.real):
        loss = objective(model, batch, case.config, kl_weight=1.0, step=step).loss
        loss.backward()  # type: ignore[no-untyped-call]
    each = {name: parameter.grad.to_dense().double() for name, parameter in model.named_parameters()}  # type: ignore[union-attr]
    whole = torch.cat([grad.flatten() for grad in each.values()])
    return {"loss": loss.detach().double(), **each, "all gradients": whole}


def table(found: Sequence[tuple[str, list[tuple[str, list[float]]]]]) -> Table:
    """Make the table: one section per case, one row per tensor."""
    shown = Table(title="relative error of a gradient", caption=NOTES, caption_justify="left")
    shown.add_column("gradient of", no_wrap=True)
    for method in METHODS:
        shown.add_column(method.name, justify="right", no_wrap=True)
    for case, rows in found:
        shown.add_row(case)
        for name, values in rows:
            shown.add_row(f"  {name}", *(f"{value:.1e}" for value in values))
        shown.add_section()
    return shown


if __name__ == "__main__":
    sys.exit(main())
