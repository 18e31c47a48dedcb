"""Training state to and from the run folder."""

from __future__ import annotations

import io
import warnings

import torch

from lvae_core.record import DamagedError, RunFolder
from lvae_core.state import TrainState


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be used and was set aside; the run starts afresh."""


def save(folder: RunFolder, state: TrainState) -> None:
    """Replace the folder's checkpoint by ``state``. Raises OSError where that cannot be written."""
    buffer = io.BytesIO()
    torch.save(state.to_dict(), buffer)
    folder.write_checkpoint(buffer.getvalue())


def load(folder: RunFolder, fingerprint: str | None = None) -> TrainState | None:
    """The folder's training state; None where there is none yet.

    A checkpoint that is damaged, is of a run of another ``fingerprint`` (None: any will do), or holds
    anything but tensors and plain values, is renamed and reported as :class:`DamagedCheckpointWarning`; it
    is never executed and never deleted.
    """
    try:
        payload = folder.read_checkpoint()
        if payload is None:
            return None
        try:
            state = TrainState.from_dict(torch.load(io.BytesIO(payload), weights_only=True))
        except Exception as error:  # of what is not its own, torch.load raises almost anything
            reason = str(error).partition("\n")[0]
            raise DamagedError(f"{folder}/checkpoint.pt: not a training state ({reason})") from None
        if fingerprint not in (None, state.fingerprint):
            raise DamagedError(f"{folder}/checkpoint.pt: of another run")
        return state
    except DamagedError as damage:
        aside = folder.set_aside("checkpoint.pt")
        message = f"{damage}; set aside as {aside}, starting afresh"
        warnings.warn(message, DamagedCheckpointWarning, stacklevel=2)
        return None
