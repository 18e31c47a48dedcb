"""A trained run from its folder, ready to generate."""

from __future__ import annotations

from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS, Vocabulary
from lvae_core.errors import InputError
from lvae_core.evaluation.generate import Trained
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.folder import RunFolder
from lvae_core.training.state import check_evaluated, load_checkpoint


def load(folder: RunFolder) -> Trained:
    """Load the model of a run that has finished at least one epoch: its parameters of the tested epoch.

    The config is the one that the run was finished with, else the one it was begun with.

    Raises:
        InputError: the folder holds no run, or one without a finished epoch; the run is finished, and the
            parameters behind its result are lost.
        DamagedError: its result.json is damaged, or its config.json if there is no result.json.
    """
    present, config = folder.read_identity(), folder.read_latest_config()
    state = load_checkpoint(folder, present[1]) if present is not None else None
    result = folder.read_json("result.json")
    if present is not None and state is None and result is not None:
        raise InputError(
            f"{folder}: the run is finished, but its checkpoint is missing or damaged; restore "
            "checkpoint.pt, or move result.json away and run it again to train it anew"
        )
    if config is None or state is None or state.epoch == 0:
        raise InputError(
            f"{folder}: no run folder with a finished epoch; make one with "
            "`python -m lvae_core run CONFIG.json --out DIR`"
        )
    if result is not None:
        check_evaluated(state, folder, result, config)
    words = tuple(state.vocabulary)
    unknown = next((words.index(symbol) for symbol in UNKNOWN_SYMBOLS if symbol in words), None)
    model = TextModel(config, len(words))
    model.load_state_dict(state.tested_parameters(config))
    return Trained(config, model.requires_grad_(False), Vocabulary(words, unknown))
