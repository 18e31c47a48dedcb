"""The use of processor, memory and GPU by this process, as points within epochs record it."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

import torch

from lvae_core.training.allocator import resident_bytes

SECONDS = 1.0
"""Usage is measured at most once in this time."""

MIB = 2**20


class ProcessUsage:
    """Measure the processor time and the memory of this process, and the use of its GPU.

    The memory of the process is known on Linux only. The utilisation, of NVIDIA's drivers only, is that of
    the whole GPU, which other processes may share.
    """

    def __init__(self, device: str, now: Callable[[], float] = time.monotonic) -> None:
        self._device = torch.device(device)
        self._now = now
        self._utilisation = _gpu_utilisation(self._device) if self._device.type == "cuda" else None
        self._since, self._processor = now(), time.process_time()
        self._last: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """Return the usage since the last measurement, by name.

        ``cpu_percent``: of one core, over all threads; ``memory_mib``: resident; ``gpu_percent``: of the
        driver's last sampling period, under a second, when the GPU computed; ``gpu_memory_mib``: what torch
        has reserved. A value that cannot be measured is absent. Never waits for the GPU.
        """
        seconds = self._now() - self._since
        if self._last and seconds < SECONDS:
            return self._last
        processor = time.process_time()
        usage = {"cpu_percent": round(100 * (processor - self._processor) / max(seconds, 1e-9), 1)}
        self._since, self._processor = self._now(), processor
        if sys.platform.startswith("linux"):
            usage["memory_mib"] = round(resident_bytes() / MIB, 1)
        if self._device.type == "cuda":
            usage["gpu_memory_mib"] = round(torch.cuda.memory_reserved(self._device) / MIB, 1)
        if self._utilisation is not None and (percent := self._utilisation()) is not None:
            usage["gpu_percent"] = float(percent)
        self._last = usage
        return usage


class _Rates(ctypes.Structure):
    """``nvmlUtilization_t``: percent of the last sampling period."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def _gpu_utilisation(device: torch.device) -> Callable[[], int | None] | None:
    """Return a function that asks the driver for the utilisation of a GPU; None if it cannot.

    NVML's C interface is called directly, because its Python package need not be installed.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = ctypes.c_void_p()
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
            return None
    except (OSError, AttributeError):
        return None

    def utilisation() -> int | None:
        rates = _Rates()
        failed = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates))
        return None if failed else int(rates.gpu)

    return utilisation
