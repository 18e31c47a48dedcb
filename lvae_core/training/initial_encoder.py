"""Start a run's encoder from the parameters of a trained run, its parent; see ``parents.py``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.model.text_model import TextModel
from lvae_core.parents import parent_folder, parent_of
from lvae_core.run_folder.folder import CHECKPOINT, PREVIOUS_CHECKPOINT, DamagedError, RunFolder
from lvae_core.run_folder.lookup import check_parent, find_run, lost_checkpoint
from lvae_core.training.state import TrainState, parse_state


@dataclass(frozen=True)
class Parent:
    """A trained run that an encoder starts from."""

    folder: RunFolder
    fingerprint: str
    checkpoint_sha256: str
    state: TrainState

    @property
    def provenance(self) -> dict[str, Any]:
        """The parent's entry in the child's provenance.json."""
        return {
            "run": self.folder.name,
            "fingerprint": self.fingerprint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "best_epoch": self.state.rate.best_epoch,
        }


def read_parent(config: RunConfig, corpus: Corpus, child: RunFolder) -> Parent | None:
    """Read the run that the encoder starts from, out of the study that holds the child's folder.

    Returns:
        None if the encoder starts at random.

    Raises:
        InputError: the parent cannot be used; see :func:`check_parent`.
        DamagedError: one of its files is not what was written; nothing of it is renamed.
    """
    if named := parent_folder(config):
        folder = RunFolder(child.store, named)
        result = check_parent(folder, config, corpus.data_sha256)
    elif (parent := parent_of(config)) is not None:
        folder = find_run(child.store, parent, corpus.data_sha256)
        remedy = f"train it first with `python -m lvae_core run CONFIG --parent --out {child}`"
        result = check_parent(folder, config, corpus.data_sha256, remedy)
    else:
        return None
    # A kill while the checkpoint was written leaves the previous one, often with the same best parameters.
    file = CHECKPOINT if folder.has(CHECKPOINT) else PREVIOUS_CHECKPOINT
    payload = folder.read_checkpoint(file)
    assert payload is not None  # it was there a moment ago
    fingerprint = str(result["fingerprint"])
    state = parse_state(payload, f"{folder}/{file}", fingerprint)
    if state.rate.best_epoch != result["best_epoch"]:
        if file == PREVIOUS_CHECKPOINT:
            raise lost_checkpoint(folder, config)
        raise DamagedError(f"{folder}/{file}: not the one that result.json was made from")
    if state.vocabulary != list(corpus.vocabulary.words):
        raise DamagedError(f"{folder}/{file}: of another vocabulary than its data have")
    return Parent(folder, fingerprint, hashlib.sha256(payload).hexdigest(), state)


def copy_encoder(parent: Parent, model: TextModel) -> None:
    """Copy the parent's best parameters into the encoder; every other parameter keeps its value.

    From a model with an encoder all of it is taken, its head, too; from a language model its LSTM and its
    word vectors. Of a language model's vectors that of ``</s>`` is untrained, because it never reads it.
    """
    trained = parent.state.best_parameters
    source = "encoder." if any(name.startswith("encoder.") for name in trained) else "decoder."
    for name, own in model.state_dict().items():
        part = name.removeprefix("encoder.")
        is_copied = source == "encoder." or part.startswith(("lstm.", "embedding."))
        if name != part and is_copied:
            value = trained[source + part]
            # A table that a decoder reads has a last row more, for <s>.
            rows = min(len(own), len(value))
            with torch.no_grad():
                own[:rows].copy_(value[:rows])
