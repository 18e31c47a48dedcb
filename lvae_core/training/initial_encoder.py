"""Start a run's encoder from the parameters of a trained run, its parent; see ``parents.py``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.model.text_model import TextModel
from lvae_core.parents import parent_folder, parent_of
from lvae_core.run_folder.folder import CHECKPOINT, RunFolder
from lvae_core.run_folder.lookup import find_run
from lvae_core.run_folder.names import RunName
from lvae_core.training.state import Parameters, TrainState, parse_state


@dataclass(frozen=True)
class Parent:
    """A trained run that an encoder starts from."""

    folder: RunFolder
    fingerprint: str
    checkpoint_sha256: str
    state: TrainState

    @property
    def provenance(self) -> dict[str, Any]:
        """What the child's provenance.json says of it."""
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
        InputError: the parent is missing, not finished, without its checkpoint, or of another vocabulary.
        DamagedError: one of its files is not what was written; nothing of it is renamed.
    """
    folder = _find(config, corpus, child)
    if folder is None:
        return None
    uses = f"{config.system} starts its encoder from it"
    present = folder.read_identity()
    result = folder.read_json("result.json")
    if present is None or result is None:
        state = "no run folder" if present is None else "not finished"
        remedy = "give a finished run"
        if parent_of(config) is not None:
            remedy = f"train it first with `python -m lvae_core run CONFIG --parent --out {child}`"
        raise InputError(f"{folder}: {state}, and {uses}; {remedy}")
    name = RunName.parse(folder.name)
    if name is not None and not present[1].startswith(name.fingerprint):
        raise InputError(f"{folder}: holds another run than its name says, and {uses}; move it away")
    payload = folder.read_checkpoint(CHECKPOINT)
    if payload is None:
        raise InputError(
            f"{folder}: finished, but has no {CHECKPOINT}, and {uses}; restore that file, or move the "
            "folder away to train the run again"
        )
    trained = parse_state(payload, f"{folder}/{CHECKPOINT}", present[1])
    if trained.rate.best_epoch != result.get("best_epoch"):
        raise InputError(f"{folder}/{CHECKPOINT}: older than the result, and {uses}; restore the last one")
    if trained.vocabulary != list(corpus.vocabulary.words):
        raise InputError(
            f"{folder}: trained over another vocabulary, and {uses}; give a run on the same data with the "
            "same min_count and max_vocabulary"
        )
    return Parent(folder, present[1], hashlib.sha256(payload).hexdigest(), trained)


def copy_encoder(parent: Parent, model: TextModel) -> None:
    """Copy the parent's best parameters into the encoder; every other parameter keeps its value.

    From a model with an encoder all of it is taken, its head, too; from a language model its LSTM and its
    word vectors. Of a language model's vectors that of ``</s>`` is untrained, because it never reads it.

    Raises:
        InputError: the parent lacks such a parameter, or has it in another size.
    """
    own = {name: p for name, p in model.state_dict().items() if name.startswith("encoder.")}
    for name, value in _encoder_parameters(parent, own).items():
        with torch.no_grad():
            own[name].copy_(value)


def _find(config: RunConfig, corpus: Corpus, child: RunFolder) -> RunFolder | None:
    if named := parent_folder(config):
        return RunFolder(child.store, named)
    parent = parent_of(config)
    return None if parent is None else find_run(child.store, parent, corpus.data_sha256)


def _encoder_parameters(parent: Parent, own: Mapping[str, torch.Tensor]) -> Parameters:
    """Own name -> the parent's value in its size."""
    trained = parent.state.best_parameters
    if any(name.startswith("encoder.") for name in trained):
        names = {name: name for name in own}
    else:
        names = {
            name: name.replace("encoder.", "decoder.", 1)
            for name in own
            if name.startswith(("encoder.lstm.", "encoder.embedding."))
        }
    found = {}
    for name, there in names.items():
        if there not in trained:
            raise InputError(
                f"{parent.folder}: has no {there}, from which {name} would start; give an LSTM language "
                "model in the standard setting, or a model with the same encoder"
            )
        value, wanted = trained[there], own[name].shape
        if name == "encoder.embedding.weight":
            value = value[: wanted[0]]  # a decoder's table has a last row for <s>
        if value.shape != wanted:
            raise InputError(
                f"{parent.folder}: its {there} has the size {tuple(value.shape)}, and {name} has "
                f"{tuple(wanted)}; set embedding_size, hidden_size and latent_size to those of that run"
            )
        found[name] = value
    return found
