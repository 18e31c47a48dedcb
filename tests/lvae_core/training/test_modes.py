"""torch's modes of the program around a run: they change no number, and the run changes none of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import lvae_core
from lvae_core.run_folder.folder import reproducible
from lvae_core.training.failures import DivergedError
from lvae_core.training.modes import Modes
from lvae_core.training.runtime import Progress

from .runs import short


@contextlib.contextmanager
def setting(write: Callable[[Any], object], value: Any, usual: Any) -> Iterator[None]:
    write(value)
    try:
        yield
    finally:
        write(usual)


@contextlib.contextmanager
def newest_precision() -> Iterator[None]:
    """A switch of torch 2.9 that the older ones contradict, so that these cannot be read."""
    operation = torch.backends.mkldnn.matmul
    if not hasattr(operation, "fp32_precision"):
        pytest.skip("this torch has no such switch")
    before = operation.fp32_precision
    operation.fp32_precision = "bf16"
    try:
        yield
    finally:
        operation.fp32_precision = before


MODES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "default dtype float64": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "default dtype bfloat16": lambda: setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device": lambda: setting(torch.set_default_device, "meta", None),
    "device of a block": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no gradients": lambda: setting(torch.set_grad_enabled, False, True),
    "inference mode": torch.inference_mode,
    "low precision": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "newest precision": newest_precision,
    "threads": lambda: setting(torch.set_num_threads, 2, 1),
    "warnings about determinism": lambda: setting(torch.set_deterministic_debug_mode, "warn", "default"),
}


def modes_now() -> dict[str, Any]:
    backends = torch.backends
    found = {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "sums in bfloat16": backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
    }
    with contextlib.suppress(RuntimeError):  # the older switches, if newer ones contradict them
        found["precision"] = torch.get_float32_matmul_precision()
    for library in ("cuda", "cudnn", "mkldnn"):
        for kind in ("matmul", "conv", "rnn"):
            operation = getattr(getattr(backends, library), kind, None)
            if hasattr(operation, "fp32_precision"):
                found[f"{library}.{kind}"] = operation.fp32_precision
    return found


@pytest.fixture(autouse=True)
def as_in_a_fresh_process() -> Iterator[None]:
    """Undo what other tests have set by running without :class:`Modes`."""
    torch.set_deterministic_debug_mode("default")
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.set_deterministic_debug_mode("default")


FEW_STEPS = {"batch_size": 64, "eval_batch_size": 64}


def numbers(folder: Any, progress: Callable[[Progress], object] | None = None) -> Any:
    """Everything that the API computes of a run."""
    run = lvae_core.train(short(max_epochs=2, **FEW_STEPS), folder, progress=progress)
    assert run.result
    return (
        reproducible(run.result),
        lvae_core.evaluate(run, iw_samples=7, progress=progress),
        lvae_core.generate(folder, 2, method="sample"),
        lvae_core.reconstruct(folder, ["ash bay"]),
        lvae_core.interpolate(folder, "ash bay", "bay", 3),
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return numbers(tmp_path_factory.mktemp("usual") / "run")


@pytest.mark.parametrize("name", MODES)
def test_modes_of_the_caller_change_no_number_and_are_kept(name: str, usual: Any, tmp_path: Any) -> None:
    seen = []
    with MODES[name]():
        before = modes_now()
        found = numbers(tmp_path / "run", lambda report: seen.append(modes_now()))
        after = modes_now()
    assert found == usual
    assert after == before
    assert seen == [before] * len(seen) != []


def test_semi_amortised_inference_has_its_gradients_in_inference_mode(tmp_path: Any) -> None:
    lvae_core.train(short("sa-vae", max_epochs=1, **FEW_STEPS), tmp_path / "run")
    usual = lvae_core.reconstruct(tmp_path / "run", ["ash bay"])
    with torch.inference_mode():
        assert lvae_core.reconstruct(tmp_path / "run", ["ash bay"]) == usual


def test_a_failed_run_leaves_the_modes_of_the_caller(tmp_path: Any) -> None:
    before = modes_now()
    with pytest.raises(DivergedError):
        lvae_core.train(short("lstm-lm", learning_rate=1e9, max_grad_norm=0.0), tmp_path / "run")
    assert modes_now() == before


def test_a_run_keeps_what_it_has_set() -> None:
    modes = Modes()
    with modes.own():
        torch.set_deterministic_debug_mode("error")
        torch.set_num_threads(3)
    assert (torch.get_deterministic_debug_mode(), torch.get_num_threads()) == (0, 1)
    with modes.own():
        assert (torch.get_deterministic_debug_mode(), torch.get_num_threads()) == (2, 3)


def test_the_settings_of_a_run_stay_while_another_thread_is_in_it() -> None:
    def visit() -> None:
        with Modes().own():
            seen.append(torch.get_deterministic_debug_mode())
        seen.append(torch.get_deterministic_debug_mode())

    seen: list[int] = []
    with Modes().own():
        torch.set_deterministic_debug_mode("error")
        other = threading.Thread(target=visit)
        other.start()
        other.join()
        assert seen == [2, 2]
        assert torch.get_deterministic_debug_mode() == 2
    assert torch.get_deterministic_debug_mode() == 0
