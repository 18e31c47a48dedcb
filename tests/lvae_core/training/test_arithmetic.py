"""Settings of a process; CUDA itself is replaced below torch's own Python code, which runs as on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lvae_core.errors import InputError
from lvae_core.training.arithmetic import CONTEXT_BYTES, set_arithmetic
from lvae_core.training.runtime import Runtime, check_device

from .. import tiny

GIB = 2**30


@pytest.fixture
def limits(monkeypatch) -> list[tuple[float, int]]:
    """What the caching allocator of a machine with two GPUs of 80 GiB is told; GPU 1 is the current one."""
    told: list[tuple[float, int]] = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * GIB)
    )
    monkeypatch.setattr(
        torch._C, "_cuda_setMemoryFraction", lambda part, index: told.append((part, index)), raising=False
    )
    return told


@pytest.mark.parametrize(("device", "index"), [("cuda", 1), ("cuda:0", 0)])
def test_a_gpu_with_or_without_a_number_gives_a_process_its_share_of_memory(device, index, limits):
    set_arithmetic(tiny.config("lstm-vae"), Runtime(device=device, device_share=0.25))
    ((part, number),) = limits
    assert number == index
    assert part * 80 * GIB + CONTEXT_BYTES == pytest.approx(20 * GIB)


def test_a_whole_gpu_leaves_the_limit_of_a_caller_and_lifts_its_own(limits, monkeypatch):
    monkeypatch.setattr("lvae_core.training.arithmetic._limited", set())
    config = tiny.config("lstm-vae")
    set_arithmetic(config, Runtime(device="cuda"))
    assert limits == []
    for share in (0.5, 1.0):
        set_arithmetic(config, Runtime(device="cuda", device_share=share))
    assert [part for part, _ in limits] == [0.5 - CONTEXT_BYTES / (80 * GIB), 1.0]


@pytest.mark.parametrize("deterministic", [True, False])
def test_every_run_on_a_gpu_prepares_cublas_for_a_deterministic_one_after_it(deterministic, limits):
    set_arithmetic(tiny.config("lstm-vae", deterministic=deterministic), Runtime(device="cuda"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_workspace_that_determinism_cannot_have_is_refused(limits, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    set_arithmetic(tiny.config("lstm-vae", deterministic=False), Runtime(device="cuda"))
    with pytest.raises(InputError, match=r"CUBLAS_WORKSPACE_CONFIG=:4096:2 in the environment.*unset it"):
        set_arithmetic(tiny.config("lstm-vae"), Runtime(device="cuda"))


@pytest.mark.parametrize(
    "before",
    [
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
        "torch.backends.cudnn.rnn.fp32_precision = 'tf32'",
        "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True",
    ],
)
def test_no_library_computes_float32_in_fewer_bits_whatever_was_allowed_before(before):
    code = f"""
import torch
from lvae_core import recipe
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Runtime
{before}
set_arithmetic(recipe("lstm-vae", dataset="toy"), Runtime())
cudnn, mkldnn, cuda = torch.backends.cudnn, torch.backends.mkldnn, torch.backends.cuda
for operation in (cudnn.rnn, cudnn.conv, mkldnn.rnn, mkldnn.conv, mkldnn.matmul, cuda.matmul):
    assert operation.fp32_precision == "ieee", operation
assert not cuda.matmul.allow_tf32 and not cudnn.allow_tf32
assert not cuda.matmul.allow_bf16_reduced_precision_reduction
assert torch.get_float32_matmul_precision() == "highest"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("device", ["mps", "xpu", "xpu:0", "cuda:", "gpu"])
def test_only_the_processor_and_cuda_are_devices(device):
    with pytest.raises(InputError, match="not usable here; give cpu, cuda or cuda:N"):
        check_device(device)
