"""Find the folder of a run in a study, whatever version of the fingerprint its name carries."""

from __future__ import annotations

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint, is_same_training
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.names import run_name, without_fingerprint
from lvae_core.storage.store import Store


def find_run(store: Store, config: RunConfig, data_sha256: str) -> RunFolder:
    """The folder that holds a run, finished if there is one; the folder that it would get if none does.

    Raises:
        DamagedError: a folder that could be the run's does not say which run it holds.
        OSError: the storage cannot be read.
    """
    key = fingerprint(config, data_sha256)
    expected = RunFolder(store, run_name(config, key))
    if expected.has("result.json"):
        return expected
    for name in store.names():
        if without_fingerprint(name) == without_fingerprint(expected.name) and name != expected.name:
            folder = RunFolder(store, name)
            present = folder.read_identity()
            if present is not None and is_same_training(present[1], present[0], key, data_sha256):
                return folder
    return expected
