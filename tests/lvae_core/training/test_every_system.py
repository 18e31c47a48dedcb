"""Every registered system in both settings: train, stop and resume to the same bits, evaluate, generate."""

import json

import pytest

from lvae_core.evaluation import generate
from lvae_core.evaluation.decoding import Decoding
from lvae_core.identity import fingerprint
from lvae_core.parents import parent_of
from lvae_core.run_folder.folder import RunFolder, reproducible
from lvae_core.run_folder.names import run_name
from lvae_core.storage.store import open_store
from lvae_core.systems import SYSTEMS
from lvae_core.training import trained

from .. import tiny
from .runs import CORPUS, OFTEN, execute, run, short

CASES = [
    pytest.param(
        system,
        setting,
        # Without words there is another decoder's input, but no other state.
        marks=[pytest.mark.slow] * (setting == "inputless" and system not in ("lstm-vae-avg", "cnn-vae")),
    )
    for system in SYSTEMS
    for setting in tiny.SETTINGS
]

CNN = {"cnn_channels": 4, "cnn_external": 7, "cnn_dilations": "1,2"}


def config_of(system: str, setting: str):
    return short(system, setting=setting, max_epochs=2, **(CNN if system.startswith("cnn") else {}))


def folder_of(config, place) -> RunFolder:
    return RunFolder(open_store(str(place)), run_name(config, fingerprint(config, CORPUS.data_sha256)))


def prepared(config, place) -> RunFolder:
    """The folder of a run whose parent, if it has one, has been trained in the same study."""
    parent = parent_of(config)
    if parent is not None:
        run(parent, folder_of(parent, place))
    return folder_of(config, place)


def outcome(folder: RunFolder):
    result = folder.read_json("result.json")
    return folder.store.read(f"{folder.name}/metrics.jsonl"), json.dumps(reproducible(result))


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_a_run_that_is_stopped_again_and_again_ends_with_the_same_bits(system, setting, tmp_path):
    config = config_of(system, setting)
    whole = prepared(config, tmp_path / "whole")
    run(config, whole)

    stopped = prepared(config, tmp_path / "stopped")
    attempts, done = 0, False
    while not done:
        attempts += 1
        going = execute(config, CORPUS, stopped, OFTEN)
        for yields, progress in enumerate(going, start=1):
            done = progress.phase == "done"
            if yields == 4 and not done:
                going.close()
                break
    assert attempts > 2
    assert outcome(stopped) == outcome(whole)

    model = trained.load(whole)
    decoding = Decoding(method="sample", max_length=5, seed=3)
    assert len(generate.from_prior(model, 3, decoding)) == 3
