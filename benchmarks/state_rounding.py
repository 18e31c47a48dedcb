"""Find which rounding of bfloat16 changes the KL: train from the same seeds with each, in paired runs.

    python benchmarks/state_rounding.py [--dataset ptb --max-steps 500] [--seeds 5] [--processes 2]

torch's LSTM in bfloat16 also rounds what it keeps between steps: the cell c and the output h. The variants
round the operands of matrix products, of the LSTM, the softmax or both; of the LSTM's state nothing, c, or
both; and the gradients of the LSTM's products. They compute the LSTM step by step, so that they mean the
same on every processor. Two more train in bfloat16 as this processor computes it, with the cell as torch
passes it and in float32; they need a processor that multiplies bfloat16. The runs are kept under --out, so
the same command resumes after an interruption.

    python benchmarks/state_rounding.py --dataset yelp10k --data-dir DIR --max-steps 939 --seeds 10 \
        --set min_count=2 embedding_size=50 hidden_size=100 latent_size=16

is three epochs of a small model, a minute or two each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch
import tyro
from precision_curves import train
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch import Tensor

from lvae_core.arguments import parsed
from lvae_core.command import exit_status, print_error
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.model.layers.lstm import LSTM, State
from lvae_core.model.layers.precision import multiplies_bfloat16
from lvae_core.model.layers.softmax import Softmax
from lvae_core.settings import apply_settings
from lvae_core.systems import recipe


@dataclass(frozen=True)
class Rounding:
    """What is rounded to bfloat16, beside the operands of the LSTM's products."""

    softmax: bool = True
    """The operands and results of the softmax's products, so probabilities minus one-hot, too."""
    c: bool = False
    h: bool = False
    gradients: bool = False
    """The gradients of the operands of the LSTM's products, that of z among them."""


Variant = Rounding | Literal["softmax", "native", "native, c in float32"] | None
"""What is rounded; softmax: nothing of the LSTM; native: what the processor rounds; None: nothing."""

VARIANTS: dict[str, Variant] = {
    "float32": None,
    "bfloat16": "native",
    "bfloat16, c in float32": "native, c in float32",
    "softmax": "softmax",
    "LSTM": Rounding(softmax=False),
    "products": Rounding(),
    "products and c": Rounding(c=True),
    "products, c and h": Rounding(c=True, h=True),
    "products, c, h and gradients": Rounding(c=True, h=True, gradients=True),
}
"""Name in the table -> what is rounded."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    dataset: str = "pydocs"
    """Dataset to train on."""
    system: str = "lstm-vae"
    """System, with L = 1."""
    max_steps: int = 500
    """Gradient steps of a run."""
    seeds: int = 5
    """Seeds 0, 1, …, at least 2."""
    set: tuple[str, ...] = ()
    """Further fields of the config, as FIELD=VALUE."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """What is rounded; float32 is always trained, too."""
    processes: int = 1
    """Number of concurrent runs, of one thread each."""
    data_dir: str | None = None
    """Folder with ptb and yahoo."""
    out: str = "runs/rounding"
    """Folder of the runs."""


def rounded(x: Tensor) -> Tensor:
    """``x`` in the precision of bfloat16; the gradient passes unchanged."""
    return x + (x.bfloat16().to(x.dtype) - x).detach()


def rounded_both_ways(x: Tensor) -> Tensor:
    """``x`` in the precision of bfloat16, and its gradient, too."""
    return x.bfloat16().to(x.dtype)


def stepwise(rounding: Rounding) -> Callable[[LSTM, Tensor, State | None], tuple[Tensor, State]]:
    """Make a ``forward`` of an LSTM with rounded products, and such roundings between steps.

    Returns:
        A function of the layer, inputs (rows, T, inputs) and an initial state, as :class:`LSTM` has it.
    """

    def forward(self: LSTM, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None:
            zeros = inputs.new_zeros(len(inputs), self.hidden_size)
            h, c = zeros, zeros
        else:
            h, c = state[0][0], state[1][0]
        operand = rounded_both_ways if rounding.gradients else rounded
        bias = operand(self.bias_ih_l0) + operand(self.bias_hh_l0)
        from_words = operand(inputs) @ operand(self.weight_ih_l0).T + bias
        weight = operand(self.weight_hh_l0).T
        outputs = []
        for step in range(inputs.shape[1]):
            gates = from_words[:, step] + operand(h) @ weight
            i, f, g, o = gates.chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            c = rounded(c) if rounding.c else c
            h = torch.sigmoid(o) * torch.tanh(c)
            h = rounded(h) if rounding.h else h
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])

    return forward


def with_exact_cell(self: LSTM, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Compute as :class:`LSTM` does in bfloat16 on a CPU, but let oneDNN keep the cell c in float32.

    oneDNN keeps c between steps in the dtype of the initial c, which torch rounds with the other operands.
    """
    zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
    (h,), (c,) = (zeros, zeros) if state is None else state
    weights = [weight.bfloat16() for weight in (self.weight_ih_l0, self.weight_hh_l0)]
    biases = [bias.bfloat16() for bias in (self.bias_ih_l0, self.bias_hh_l0)]
    steps = inputs.bfloat16().transpose(0, 1).contiguous()
    kind, layers = 2, 1  # 2: torch's number of the LSTM
    backwards, has_biases, both_ways, batch_first, train = False, True, False, False, True
    states, h, c, _ = torch.ops.aten.mkldnn_rnn_layer(
        steps, *weights, *biases, h.bfloat16(), c.float(), backwards, [], kind, self.hidden_size, layers,
        has_biases, both_ways, batch_first, train,
    )  # fmt: skip
    return states.transpose(0, 1), (h.to(inputs.dtype)[None], c[None])


@contextmanager
def rounding_of(rounding: Variant) -> Iterator[None]:
    """Train within it in bfloat16, but with this rounding."""
    with ExitStack() as patches:
        if rounding == "softmax":
            patches.enter_context(patch.object(LSTM, "forward", torch.nn.LSTM.forward))
        elif rounding == "native, c in float32":
            patches.enter_context(patch.object(LSTM, "forward", with_exact_cell))
        elif isinstance(rounding, Rounding):
            patches.enter_context(patch.object(LSTM, "forward", stepwise(rounding)))
            if not rounding.softmax:
                whole = property(lambda self: "float32", lambda self, value: None)
                patches.enter_context(patch.object(Softmax, "arithmetic", whole))
        yield


def config(options: Options, variant: str, seed: int) -> RunConfig:
    """Make the config of one run; its estimates are not used, so they get as few draws as possible."""
    base = recipe(options.system, dataset=options.dataset, num_samples=1, seed=seed)
    base = replace(base, max_steps=options.max_steps, iw_samples=2, iw_exact_samples=0, mi_samples=2)
    precision = "float32" if VARIANTS[variant] is None else "bfloat16"
    return apply_settings(base, [f"precision={precision}", *options.set])


def measure(options: Options, variant: str, seed: int) -> tuple[float, float]:
    """Train a run unless it is finished; return its KL and its NLL on valid, in nats per sentence."""
    torch.set_num_threads(1)
    out = f"{options.out}/{variant.replace(', ', '-').replace(' ', '-')}"
    run = config(options, variant, seed)
    with rounding_of(VARIANTS[variant]):
        _, metrics = train(run, out, options.data_dir)
    return float(metrics[-1]["valid_kl"]), float(metrics[-1]["valid_nll"])


def main(options: Options) -> int:
    """Train the runs that are not finished and print one table; return the exit status."""
    if options.seeds < 2:
        print_error(f"--seeds {options.seeds}: must be at least 2 for an interval")
        return 2
    if unknown := [name for name in options.variants if name not in VARIANTS]:
        print_error(f"--variants {unknown[0]}: choose from {'; '.join(VARIANTS)}")
        return 2
    chosen = [name for name in VARIANTS if name == "float32" or name in options.variants]
    if not multiplies_bfloat16(torch.device("cpu")):
        left_out = [name for name in chosen if str(VARIANTS[name]).startswith("native")]
        print(f"left out, because this processor emulates bfloat16: {'; '.join(left_out)}", file=sys.stderr)
        chosen = [name for name in chosen if name not in left_out]
    pairs = [(seed, variant) for seed in range(options.seeds) for variant in chosen]
    try:
        for variant in chosen:
            config(options, variant, 0)
        with ProcessPoolExecutor(options.processes) as pool:
            jobs = {(v, seed): pool.submit(measure, options, v, seed) for seed, v in pairs}
            found = {key: job.result() for key, job in jobs.items()}
    except InputError as error:
        print_error(error)
        return 2
    values = {v: np.array([found[v, seed] for seed in range(options.seeds)]) for v in chosen}
    Console(width=110).print(table(options, values))
    return 0


def table(options: Options, values: dict[str, np.ndarray]) -> Table:
    """Make the table: means over seeds, and paired differences from float32 with their 95% t intervals."""
    title = f"{options.system} on {options.dataset} after {options.max_steps} steps, {options.seeds} seeds"
    shown = Table(title=f"{title}: valid, nats per sentence")
    for head in ("rounded to bfloat16", "KL", "- float32", "NLL", "- float32"):
        shown.add_column(head, justify="left" if head.startswith("rounded") else "right")
    for variant, both in values.items():
        row = [variant if VARIANTS[variant] else "nothing (float32)"]
        for k in range(2):
            difference = both[:, k] - values["float32"][:, k]
            half = stats.t.ppf(0.975, options.seeds - 1) * stats.sem(difference)
            paired = f"{difference.mean():+.2f} ± {half:.2f}" if VARIANTS[variant] else ""
            row += [f"{both[:, k].mean():.2f}", paired]
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
