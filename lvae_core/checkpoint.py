"""Training state to and from the run folder."""

from __future__ import annotations

import io
import warnings

import torch

from lvae_core.record import CHECKPOINT, PREVIOUS_CHECKPOINT, DamagedError, DamageWarning, RunFolder
from lvae_core.state import TrainState


def save(folder: RunFolder, state: TrainState) -> None:
    """Put ``state`` in the place of the folder's checkpoint, which is kept as the previous one.

    Raises OSError where that cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state.to_dict(), buffer)
    folder.write_checkpoint(buffer.getvalue())


def load(folder: RunFolder, fingerprint: str | None = None) -> TrainState | None:
    """The folder's latest training state that can be used; None where there is none.

    A checkpoint that is damaged, is of a run of another ``fingerprint`` (None: any will do), or holds
    anything but tensors and plain values, is renamed and reported as :class:`DamageWarning`, and the
    previous one takes its place; it is never executed and never deleted.
    """
    for file in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        try:
            state = _read(folder, file, fingerprint)
        except DamagedError as damage:
            aside = folder.set_aside(file)
            warnings.warn(f"{damage}; set aside as {aside}", DamageWarning, stacklevel=2)
            continue
        if state is not None:
            return state
    return None


def _read(folder: RunFolder, file: str, fingerprint: str | None) -> TrainState | None:
    payload = folder.read_checkpoint(file)
    if payload is None:
        return None
    try:
        state = TrainState.from_dict(torch.load(io.BytesIO(payload), weights_only=True))
    except Exception as error:  # of what is not its own, torch.load raises almost anything
        reason = str(error).partition("\n")[0]
        raise DamagedError(f"{folder}/{file}: not a training state ({reason})") from None
    if fingerprint not in (None, state.fingerprint):
        raise DamagedError(f"{folder}/{file}: of another run")
    return state
