"""The record of a failed run: the class of failure, one line, and the end of its traceback."""

from __future__ import annotations

import pytest
import torch

from lvae_core.training.failures import DeviceLostError, DivergedError, failure_of


def raised(error: Exception, depth: int = 1) -> Exception:
    """The error with a traceback of ``depth`` frames."""

    def go(left: int) -> None:
        # Two functions, or Python folds the repeated lines of a recursion into one.
        if left:
            come(left - 1)
        raise error

    def come(left: int) -> None:
        go(left)

    with pytest.raises(type(error)) as caught:
        go(depth)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DivergedError("the loss is not finite"), "diverged"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "out_of_memory",
        ),
        (RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"), "out_of_memory"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
            "out_of_memory",
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "code"),
        (RuntimeError("CUDA error: device-side assert triggered"), "code"),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), "infrastructure"),
        (
            torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
            "infrastructure",
        ),
        (RuntimeError("No CUDA GPUs are available"), "infrastructure"),
        (torch.AcceleratorError("CUDA error: unknown error"), "infrastructure"),
        (
            RuntimeError(
                "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"
            ),
            "infrastructure",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
            "out_of_memory",
        ),
        (RuntimeError("CUDA driver error: out of memory"), "out_of_memory"),
        (ValueError("unspecified launch failure, says a value"), "code"),
        (DeviceLostError("GPU 3 of host failed (…)"), "infrastructure"),
        (RuntimeError("could not create a primitive"), "out_of_memory"),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), "code"),
        (ValueError("can't allocate memory, says a value"), "code"),
        (OSError(28, "No space left on device"), "infrastructure"),
        (KeyError("x"), "code"),
    ],
)
def test_every_error_has_its_failure_class(error: Exception, kind: str) -> None:
    assert failure_of(raised(error)).kind == kind


def test_the_cpu_allocators_own_error_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**45, dtype=torch.float64)
    assert failure_of(caught.value).kind == "out_of_memory"


def test_the_message_is_one_line_and_names_the_type_where_that_helps() -> None:
    assert failure_of(raised(ValueError("bad\nreally"))).message == "ValueError: bad"
    assert failure_of(raised(DivergedError("the loss is nan"))).message == "the loss is nan"


def test_the_traceback_keeps_its_end() -> None:
    lines = failure_of(raised(ValueError("deep"), depth=60)).traceback.splitlines()
    assert len(lines) == 40
    assert lines[-1] == "ValueError: deep"
