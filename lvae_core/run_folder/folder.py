"""The run folder: everything that training, sweeps and analysis share about a run.

    <study>/<dataset>__<system>__<setting>__L<n>__seed<k>__<fingerprint[:8]>/
        config.json             fingerprint and complete config
        provenance.json         commit, versions and host of each attempt; the run it starts from, if any
        metrics.jsonl           one line per epoch
        steps.jsonl             points within epochs; no result depends on them
        checkpoint.pt           the latest complete training state
        checkpoint.previous.pt  the checkpoint before it
        claim-<n>.json          the process that trains the run, if any
        failure.json            why the last attempt failed
        result.json             final estimates; written last
        evaluation-<id>.json    further estimates; see lvae_core/run_folder/evaluations.py

Every file carries its own digest (see lvae_core/run_folder/digests.py). A damaged file is neither
used nor deleted; it is renamed to ``<file>.damaged-<k>``. A half-written file of a killed process is
renamed to ``<file>.partial-<k>``.

``result.json`` is one object with these fields; a field that does not apply to a system is absent:

    fingerprint        64 hex digits over config, data and numerics version
    config             every field of lvae_core.config.RunConfig
    data_sha256        content hash of the three splits
    metrics_sha256     SHA-256 of the bytes of metrics.jsonl
    precision          what training computed in: what auto came to on the device
    evaluation_version version of the estimates; absent if it is 1
    estimates          name -> {"value": v, "stderr": s}, see ESTIMATES; no stderr if nothing was sampled,
                       and DIAGNOSTICS if it is importance-weighted
    tokens, sentences  predicted tokens (with </s>) and sentences of the test split
    vocabulary         number of classes V; absent in results of earlier versions, as is splits
    splits             train, valid, test -> sentences, tokens and unknown, the share of unknown words
                       in tokens; of valid and test also characters, and spelling_nats, what the letters of
                       all unknown words cost (see lvae_core/data/spelling.py)
    true_nll           mean of -log p(x) over the test split under the model that the dataset was drawn
                       from, nats per sentence, if that model is known
    parameters         number of trained parameters
    best_epoch         epoch with the lowest validation perplexity, whose parameters were evaluated unless
                       the evaluation's tested_epoch is "last"
    epochs, steps      epochs and gradient steps trained; max_steps may have ended the last epoch early
    steps_per_epoch    gradient steps of a whole epoch; absent in results of earlier versions
    train_seconds, evaluate_seconds   time on the device over all attempts: the only fields that are
                       not reproducible to the last bit
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lvae_core.config import FIELD_TYPES, RunConfig, from_dict
from lvae_core.errors import InputError
from lvae_core.run_folder.digests import UnsealedError, seal, seal_rows, sealed_rows, unseal, unseal_rows
from lvae_core.run_folder.names import RunName
from lvae_core.storage.store import Store

FailureClass = Literal["infrastructure", "out_of_memory", "diverged", "code"]

FAILURE = "failure.json"

TIMING_FIELDS = ("train_seconds", "evaluate_seconds")

CHECKPOINT, PREVIOUS_CHECKPOINT = "checkpoint.pt", "checkpoint.previous.pt"

CHECKPOINTS = (CHECKPOINT, PREVIOUS_CHECKPOINT)
"""The files to resume or evaluate a run from. A kill while the first is written leaves only the second."""

_log = logging.getLogger("lvae.run_folder")

_CHECKPOINT_MAGIC = b"lvae checkpoint 1 sha256 "


class DamagedError(Exception):
    """A file of a run folder is not what was written. The message names it, in one line."""


class NewerVersionError(DamagedError):
    """A file is whole, but this version of the code cannot read it. The message names it, in one line.

    It is never set aside. Commands that only read many folders pass over it, as over a damaged file.
    """

    def __init__(self, place: str, reason: object) -> None:
        super().__init__(
            f"{place}: written by a newer version of this code ({reason}); update this checkout, or give "
            "another folder"
        )


class RunFolder:
    """Reads and writes one run folder; every file appears whole or not at all."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    def __str__(self) -> str:
        return f"{self.store.url.rstrip('/')}/{self.name}"

    def has(self, file: str) -> bool:
        """Whether the run folder holds ``file``."""
        return self.store.exists(f"{self.name}/{file}")

    def has_checkpoint(self) -> bool:
        """Whether the run folder holds a checkpoint, be it only the previous one."""
        return any(map(self.has, CHECKPOINTS))

    def holds_runs(self) -> bool:
        """Whether run folders are in it, as in a study's folder."""
        return any(RunName.parse(name) for name in self.store.names(self.name))

    def read_json(self, file: str) -> dict[str, Any] | None:
        """Read the object in ``file``; None if there is no such file.

        Raises:
            DamagedError: the file is not what was written.
        """
        try:
            return unseal(self._read(file))
        except FileNotFoundError:
            return None
        except UnsealedError as error:
            raise DamagedError(f"{self}/{file}: damaged, {error}") from None

    def write_json(self, file: str, value: Mapping[str, Any]) -> None:
        """Write an object."""
        self.store.write(f"{self.name}/{file}", seal(value))

    def create_json(self, file: str, value: Mapping[str, Any]) -> bool:
        """Write an object if ``file`` does not exist; return whether this call wrote it."""
        return self.store.create(f"{self.name}/{file}", seal(value))

    def read_config(self) -> tuple[RunConfig, str] | None:
        """Read the run's config and fingerprint; None if config.json does not exist yet.

        Raises:
            DamagedError: config.json is not what :meth:`write_config` wrote.
            NewerVersionError: it is what that of a newer version wrote.
        """
        return self._read_identity("config.json")

    def read_identity(self) -> tuple[RunConfig, str] | None:
        """The run's config and fingerprint, from result.json if config.json is missing or damaged.

        Raises:
            DamagedError: config.json is damaged, and there is no result.json or it is damaged, too.
        """
        try:
            present = self.read_config()
        except DamagedError as damage:
            with contextlib.suppress(DamagedError):
                if present := self._read_identity("result.json"):
                    return present
            raise damage
        return present or self._read_identity("result.json")

    def read_latest_config(self) -> RunConfig | None:
        """The config that the run was finished with, else the one it was begun with; None if there is none.

        They may differ in fields that only the estimates read.

        Raises:
            DamagedError: see :meth:`read_identity`.
        """
        begun = self.read_identity()
        with contextlib.suppress(DamagedError):
            finished = self._read_identity("result.json")
            if begun and finished and finished[1] == begun[1]:
                return finished[0]
        return begun and begun[0]

    def _read_identity(self, file: str) -> tuple[RunConfig, str] | None:
        values = self.read_json(file)
        if values is None:
            return None
        config, fingerprint = values.get("config"), values.get("fingerprint")
        if not isinstance(config, dict) or not isinstance(fingerprint, str):
            raise DamagedError(f"{self}/{file}: damaged, config or fingerprint is missing")
        try:
            return from_dict(config), fingerprint
        except InputError as error:
            unknown = config.keys() - FIELD_TYPES.keys()
            why = f"unknown field {min(unknown)!r}" if unknown else error
            raise NewerVersionError(f"{self}/{file}", why) from None

    def write_config(self, config: RunConfig, fingerprint: str) -> None:
        """Record which run the folder belongs to. Only the fingerprint identifies the training data."""
        self.write_json("config.json", {"fingerprint": fingerprint, "config": config.to_dict()})

    def read_metrics(self, sha256: str | None = None) -> list[dict[str, Any]]:
        """Read the rows of metrics.jsonl, one per epoch; [] if there is no such file yet.

        Args:
            sha256: SHA-256 of the file, from result.json; if given, the file must exist and match.

        Raises:
            DamagedError: the file is not what was written.
        """
        try:
            if sha256 is not None:
                return sealed_rows(self.check_metrics(sha256))
            return unseal_rows(self._read("metrics.jsonl"))
        except FileNotFoundError:
            return []
        except UnsealedError as error:
            raise DamagedError(f"{self}/metrics.jsonl: damaged, {error}") from None

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rewrite all rows: a run that resumes from a checkpoint drops the rows after it."""
        self.store.write(f"{self.name}/metrics.jsonl", seal_rows(rows))

    def read_steps(self) -> list[dict[str, Any]]:
        """Read the points of steps.jsonl in the order of their steps; [] if there is no such file.

        Raises:
            DamagedError: the file is not what was written.
        """
        try:
            return unseal_rows(self._read("steps.jsonl"))
        except FileNotFoundError:
            return []
        except UnsealedError as error:
            raise DamagedError(f"{self}/steps.jsonl: damaged, {error}") from None

    def write_steps(self, data: bytes) -> None:
        """Write all points, as :func:`~lvae_core.run_folder.digests.seal_rows` made them."""
        self.store.write(f"{self.name}/steps.jsonl", data)

    def check_metrics(self, sha256: str) -> bytes:
        """Read metrics.jsonl; raise :class:`DamagedError` unless its SHA-256 is ``sha256``."""
        try:
            data = self._read("metrics.jsonl")
        except FileNotFoundError:
            raise DamagedError(f"{self}/metrics.jsonl: missing, although the run has a result") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedError(f"{self}/metrics.jsonl: damaged, its SHA-256 is not the one in result.json")
        return data

    def read_checkpoint(self, file: str = CHECKPOINT) -> bytes | None:
        """Read the serialised training state and verify its digest; None if there is no such file.

        Raises:
            DamagedError: the file is not what was written.
        """
        try:
            data = self._read(file)
        except FileNotFoundError:
            return None
        header, newline, payload = data.partition(b"\n")
        digest = hashlib.sha256(payload).hexdigest().encode()
        if not newline or header != _CHECKPOINT_MAGIC + digest:
            raise DamagedError(f"{self}/{file}: damaged, its SHA-256 does not match")
        return payload

    def write_checkpoint(self, payload: bytes) -> None:
        """Write a complete checkpoint with its digest, and keep the previous one."""
        with contextlib.suppress(FileNotFoundError):
            self.store.rename(f"{self.name}/{CHECKPOINT}", f"{self.name}/{PREVIOUS_CHECKPOINT}")
        self.write_payload(CHECKPOINT, payload)

    def write_payload(self, file: str, payload: bytes) -> None:
        """Write bytes with their digest, as :meth:`read_checkpoint` reads them."""
        digest = hashlib.sha256(payload).hexdigest().encode()
        self.store.write(f"{self.name}/{file}", b"".join([_CHECKPOINT_MAGIC, digest, b"\n", payload]))

    def set_aside(self, file: str, word: Literal["damaged", "partial"] = "damaged") -> str:
        """Rename a file so that nothing reads it again, and return its new name.

        A half-written file (``.<file>.<random>``, see :meth:`Store.leftovers`) gets a name that starts with
        ``<file>``.
        """
        base = file[1:].rpartition(".")[0] if word == "partial" else file
        aside = move_aside(self.store, f"{self.name}/{file}", f"{self.name}/{base}.{word}")
        return aside.removeprefix(f"{self.name}/")

    def set_leftovers_aside(self) -> None:
        """Rename the half-written files of killed processes and log a warning for each."""
        for name in self.store.leftovers(self.name):
            try:
                aside = self.set_aside(name, "partial")
            except FileNotFoundError:
                continue  # its process is alive, and has just completed the file
            _log.warning("%s/%s: left half-written; set aside as %s", self, name, aside)

    def write_failure(
        self, kind: FailureClass, message: str, traceback_tail: str, file: str = FAILURE
    ) -> None:
        """Record a failed attempt in ``file``. Attempts are counted over all launches."""
        try:
            earlier = (self.read_json(file) or {}).get("attempt")
        except DamagedError:
            earlier = None
        attempt = earlier + 1 if type(earlier) is int else 1
        self.write_json(
            file,
            {
                "class": kind,
                "attempt": attempt,
                "message": message,
                "traceback": traceback_tail,
            },
        )

    def clear_failure(self, file: str = FAILURE) -> None:
        """Delete ``file``: a finished run does not count as failed, even if earlier attempts failed."""
        self.store.delete(f"{self.name}/{file}")

    def _read(self, file: str) -> bytes:
        data = self.store.read(f"{self.name}/{file}")
        _log.debug("%s/%s: read %d bytes", self, file, len(data))
        return data


def move_aside(store: Store, path: str, base: str) -> str:
    """Rename a file to the first free name of ``<base>-1``, ``<base>-2``, …, and return that name."""
    number = 1
    while store.exists(f"{base}-{number}"):
        number += 1
    aside = f"{base}-{number}"
    store.rename(path, aside)
    return aside


def metrics_sha256(rows: Sequence[Mapping[str, Any]]) -> str:
    """The SHA-256 of the metrics.jsonl that contains ``rows``, as recorded in ``result.json``."""
    return hashlib.sha256(seal_rows(rows)).hexdigest()


def reproducible(result: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result that is reproducible to the last bit: all fields except the timing fields.

    It is for checks that compare a run with a repeated or resumed one, in tests and benchmarks.
    """
    return {key: value for key, value in result.items() if key not in TIMING_FIELDS}
