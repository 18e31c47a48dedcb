"""Open a run folder, find that of a config, and check that an encoder can start from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint, is_same_training
from lvae_core.run_folder.folder import CHECKPOINT, RunFolder
from lvae_core.run_folder.names import RunName, run_name, without_fingerprint
from lvae_core.run_folder.study import open_study
from lvae_core.storage.store import Store

_SAME = ("embedding_size", "hidden_size", "min_count", "max_vocabulary")
"""The fields that both runs must share: they fix the sizes and, with the data, the vocabulary."""

_SAME_ENCODER = ("encoder", "posterior", "latent_size", "linear_bias", "mu_batch_norm")
"""Further fields that two encoders must share."""


def open_run(url: str) -> RunFolder:
    """Open the run folder at a path or URL."""
    if not url.strip():
        raise InputError("an empty path: give the run folder")
    parent, _, name = url.rstrip("/").rpartition("/")
    if parent.endswith(":/"):
        raise InputError(f"{url}: names no run folder; give an address such as s3://bucket/study/run")
    if not name or name in (".", ".."):
        path = Path(url).absolute().resolve()
        parent, name = str(path.parent), path.name
    if "://" not in url:
        for place in (Path(parent or ".", name), *Path(parent or ".", name).parents):
            if place.is_file():
                what = "a file" if place == Path(url) else f"{place} is a file"
                raise InputError(f"{url}: {what}; give the run folder")
    return open_study(parent or ("/" if url.startswith("/") else ".")).run(name)


def find_run(store: Store, config: RunConfig, data_sha256: str) -> RunFolder:
    """Find the folder that holds a run, even if its name carries a fingerprint of an earlier version.

    Returns:
        The folder that the run would get if none holds it.

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


def check_parent(
    folder: RunFolder, child: RunConfig, data_sha256: str, remedy: str = "give a finished run"
) -> dict[str, Any]:
    """Check that the encoder of ``child`` can start from the run in ``folder``; return its result.

    Args:
        folder: the parent's run folder.
        child: the run whose encoder starts from the parent.
        data_sha256: content hash of the child's data.
        remedy: the advice in the message if there is no such run, or it is not finished.

    Raises:
        InputError: the parent is missing, is not finished, has no checkpoint, or differs in its sizes, its
            decoder or its vocabulary. The message is one line.
        DamagedError: one of its files is not what was written. The file is not renamed.
        OSError: the storage cannot be read.
    """
    uses = f"{child.system} starts its encoder from it"
    present = folder.read_identity()
    if present is None:
        raise InputError(f"{folder}: no run folder, and {uses}; {remedy}")
    result = folder.read_json("result.json")
    if result is None:
        raise InputError(f"{folder}: not finished, and {uses}; {remedy}")
    config, recorded = present
    name = RunName.parse(folder.name)
    if name is not None and not recorded.startswith(name.fingerprint):
        raise InputError(f"{folder}: holds a different run than its name says, and {uses}; move it away")
    if config.encoder == "none" and (config.decoder != "lstm" or config.setting != "standard"):
        raise InputError(
            f"{folder}: neither an LSTM language model over words nor a model with an encoder, and {uses}; "
            "give one of these"
        )
    for field in (*_SAME, *(_SAME_ENCODER if config.encoder != "none" else ())):
        there, here = getattr(config, field), getattr(child, field)
        if there != here:
            raise InputError(
                f"{folder}: its {field} is {there}, and that of {child.system}, whose encoder starts from "
                f"it, is {here}; give both the same"
            )
    if result.get("data_sha256") != data_sha256:
        raise InputError(f"{folder}: trained on other data, and {uses}; give a run on the same data")
    if not folder.has_checkpoint():
        raise lost_checkpoint(folder, child)
    return result


def lost_checkpoint(folder: RunFolder, child: RunConfig) -> InputError:
    """The error of a parent that is finished, but whose best parameters are lost."""
    return InputError(
        f"{folder}: finished, but has no {CHECKPOINT}, and {child.system} starts its encoder from it; "
        "restore that file, or move the folder away to train the run again"
    )
