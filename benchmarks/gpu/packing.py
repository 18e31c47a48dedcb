"""Several runs on one device at once: total speed and memory, each run a process of its own."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import torch
from speed.cases import Case, Mode, cases
from speed.launch import FailedError, measure

from gpu.records import Record, Settings, note, run_part

COUNTS = (1, 2, 4, 8, 12)
"""Processes at once."""
SUBJECTS = (("ptb/lstm-vae/L1/standard", "ours float32"), ("ptb/lstm-vae-avg/L10/standard", "ours float32"))
LONGEST_SECONDS = 45.0
"""Time that a measurement takes at most, about: the start of twelve processes and their warm-up."""


def work(settings: Settings) -> Iterator[Record]:
    """Measure each number of processes for each subject."""
    counts = COUNTS if settings.is_gpu else COUNTS[:2]
    seconds = "0.1" if settings.tiny else "2"
    arguments = ["--device", settings.device, "--seconds", seconds, *(["--tiny"] if settings.tiny else [])]
    for name, variant in SUBJECTS if settings.is_gpu else SUBJECTS[:1]:
        alone = None
        for count in counts:
            label = f"{name}, {variant}, {count} at once"
            if not settings.wants(label):
                continue
            if settings.is_gpu and settings.left < LONGEST_SECONDS / 2:
                settings.left_out.append(label)
                continue
            case, mode = cases(quick=False)[name], Mode(count, 1)
            sized = case.tiny() if settings.tiny else case
            with watching_memory(settings) as most:
                try:
                    found = measure(case.job(variant, mode), sized, arguments)
                except FailedError as error:
                    yield note(label, f"failed: {error}")
                    continue
            total = found.tokens_per_second.median
            if count == 1:
                alone = total
            yield record(label, sized, variant, count, total, alone, most)


def record(
    label: str, case: Case, variant: str, count: int, total: float, alone: float | None, most: list[int]
) -> Record:
    """Make the record of a number of processes.

    Args:
        label: name of the record.
        case: what they train.
        variant: of the case.
        count: number of processes.
        total: their tokens per second in all.
        alone: those of a single process; None if that was not measured.
        most: the bytes of the GPU in use, if it is one.
    """
    text = f"{total:,.0f} tokens/s in all"
    gain = {} if alone is None else {"gain": total / alone}
    if gain:
        text += f", {gain['gain']:.2f} × one"
    if most:
        text += f", {most[0] / 2**20:,.0f} MiB on the device, {most[0] / count / 2**20:,.0f} MiB each"
    return note(
        label,
        text,
        case=case.name,
        variant=variant,
        processes=count,
        tokens_per_second=total,
        device_bytes=most[0] if most else None,
        bytes_per_process=most[0] / count if most else None,
        **gain,
    )


@contextlib.contextmanager
def watching_memory(settings: Settings) -> Iterator[list[int]]:
    """Watch how many bytes of the GPU are in use beyond now; the list holds the most, none on a CPU."""
    most: list[int] = []
    if not settings.is_gpu:
        yield most
        return
    device = torch.device(settings.device)
    before = used(device)
    most.append(0)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], used(device) - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def used(device: torch.device) -> int:
    """Bytes of the GPU in use, by all processes."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free


if __name__ == "__main__":
    sys.exit(run_part(work))
