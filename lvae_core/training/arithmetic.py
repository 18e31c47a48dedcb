"""Settings of a process that the numbers of its runs, or their speed, depend on."""

from __future__ import annotations

import itertools
import os
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.training.allocator import keep_freed_memory
from lvae_core.training.runtime import Runtime

CONTEXT_BYTES = 640 * 2**20
"""GPU memory that CUDA takes for each process beside its tensors, about, at most."""

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_FIXED_WORKSPACES = (":4096:8", ":16:8")
"""What torch accepts of that variable where cuBLAS is to be deterministic."""


def set_arithmetic(config: RunConfig, runtime: Runtime) -> None:
    """Set what the numbers of a run on this device, or its speed, depend on, for the whole process.

    Raises:
        InputError: the environment asks of cuBLAS what a deterministic run cannot have.
    """
    keep_freed_memory()
    torch.set_num_threads(runtime.threads)
    device = torch.device(runtime.device)
    if device.type == "cuda":
        _fix_workspace(config)
        _limit_memory(device, runtime.device_share)
    # As torch.use_deterministic_algorithms, less the compiler that it imports: seconds of every start.
    torch.set_deterministic_debug_mode("error" if config.deterministic else "default")
    _keep_all_bits()
    # It would fill every fresh tensor to expose reads of what was never written; there are none here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def memory_fraction(share: float, total: int) -> float:
    """The part of a GPU's ``total`` bytes that is left to tensors where a process has ``share`` of it.

    The process itself takes some of the share; a whole GPU is not limited.
    """
    return 1.0 if share >= 1 else max(share - CONTEXT_BYTES / total, 0.1 * share)


def _fix_workspace(config: RunConfig) -> None:
    """Give cuBLAS the workspace that determinism needs.

    Every run sets it, because torch looks once in a process, at the first product, and a deterministic run
    may follow another.
    """
    given = os.environ.setdefault(_WORKSPACE, _FIXED_WORKSPACES[0])
    if config.deterministic and given not in _FIXED_WORKSPACES:
        raise InputError(
            f"{_WORKSPACE}={given} in the environment: a deterministic run needs {_FIXED_WORKSPACES[0]}; "
            "unset it, or set deterministic=false"
        )


_limited: set[int] = set()
"""The GPUs of whose memory this process was given a part."""


def _limit_memory(device: torch.device, share: float) -> None:
    """Let this process take its share of the GPU's memory, and no more."""
    # Unlike other calls, the one below takes no "cuda" without a number.
    index = torch.cuda.current_device() if device.index is None else device.index
    if share >= 1 and index not in _limited:
        return  # a limit is then the caller's own
    _limited.add(index)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(memory_fraction(share, total), index)


def float32_operations() -> list[Any]:
    """Those whose float32 may have fewer bits, by their ``fp32_precision``; none before torch 2.9."""
    kinds = itertools.product((torch.backends.cudnn, torch.backends.mkldnn), ("matmul", "conv", "rnn"))
    found = [torch.backends.cuda.matmul, *(getattr(library, kind, None) for library, kind in kinds)]
    return [operation for operation in found if hasattr(operation, "fp32_precision")]


def _keep_all_bits() -> None:
    """Let no library compute float32 in fewer bits, or sum bfloat16 in it, whatever was allowed before."""
    # The older switches first: they reset the newer ones (torch 2.9), which can say more.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    for operation in float32_operations():
        operation.fp32_precision = "ieee"
