"""The run folder: the only truth between training, sweeping and analysis.

    <study>/<dataset>__<system>__<setting>__L<n>__seed<k>__<fingerprint[:8]>/
        config.json       fingerprint, complete config     provenance.json   who made it, where, from what
        metrics.jsonl     one line an epoch                checkpoint.pt     the latest whole training state
        result.json       final estimates; written last    failure.json      why the last attempt failed

``result.json`` is one object of these fields; one that makes no sense for a system is absent:

    fingerprint        64 hex digits over config, data and numerics version
    config             every field of lvae_core.config.RunConfig
    data_sha256        content hash of the three splits
    estimates          name -> {"value": v, "stderr": s}; no stderr where nothing was sampled; ESTIMATES
    tokens, sentences  predicted tokens (with </s>) and sentences of the test split
    parameters         number of trained parameters
    best_epoch         epoch whose parameters were evaluated: the lowest validation perplexity
    epochs, steps      epochs and gradient steps trained
    train_seconds, evaluate_seconds   time on the device over all attempts: the only fields that are
                       not reproducible to the last bit
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lvae_core.config import InputError, RunConfig, canonical_json, from_dict
from lvae_core.storage import Store, open_store

__all__ = [
    "ESTIMATES",
    "TIMING_FIELDS",
    "Bound",
    "DamagedError",
    "Estimate",
    "FailureClass",
    "RunFolder",
    "RunName",
    "Store",
    "Study",
    "bound",
    "open_store",
    "reproducible",
    "run_name",
]

Bound = Literal["exact", "upper bound", "upper bound in expectation", "not a bound"]
FailureClass = Literal["infrastructure", "out_of_memory", "diverged", "code"]

TIMING_FIELDS = ("train_seconds", "evaluate_seconds")

_CHECKPOINT_MAGIC = b"lvae checkpoint 1 sha256 "


@dataclass(frozen=True)
class Estimate:
    """What a name in ``estimates`` stands for: unit and definition (DESIGN.md §5)."""

    unit: str
    meaning: str


_NATS = "nats a sentence"
_PPL = "exp(nats a predicted token)"
ESTIMATES: dict[str, Estimate] = {
    "nll": Estimate(_NATS, "-log p(x), exact"),
    "ppl": Estimate(_PPL, "perplexity from nll"),
    "nll_elbo": Estimate(_NATS, "-(E_q log p(x|z) - KL), the KL counted once"),
    "ppl_elbo": Estimate(_PPL, "perplexity from nll_elbo"),
    "nll_joint": Estimate(_NATS, "-(E_q log p(x|z^(1..L)) - L KL)"),
    "ppl_joint": Estimate(_PPL, "perplexity from nll_joint"),
    "nll_iw": Estimate(_NATS, "-log mean_s w_s, log w = log p(x|z^(1..L)) + 1/L sum_l log p/q"),
    "ppl_iw": Estimate(_PPL, "perplexity from nll_iw"),
    "nll_iw_joint": Estimate(_NATS, "-log mean_s w_s, log w = log p(x|z^(1..L)) + sum_l log p/q"),
    "ppl_iw_joint": Estimate(_PPL, "perplexity from nll_iw_joint"),
    "kl": Estimate(_NATS, "KL(q(z|x) || p(z)) of one z"),
    "mi": Estimate("nats", "mutual information I_q(x; z) of one z, He et al. (2019)"),
    "au": Estimate("dimensions", "active units: variance over x of the posterior mean > 0.01"),
}


def bound(estimate: str, averaging: str, num_samples: int) -> Bound | None:
    """What ``estimate`` is as a bound on -log p(x) (or its perplexity); None for kl, mi, au.

    With averaging = hidden and L > 1 the decoder conditions on all L samples, so they *are* the latent
    variable: a convention that charges for one of them only is no bound of the evaluated model.
    """
    kind = re.sub(r"^(nll|ppl)", "", estimate)
    if not estimate.startswith(("nll", "ppl")):
        return None
    if kind == "":
        return "exact"
    if averaging == "hidden" and num_samples > 1 and not kind.endswith("joint"):
        return "not a bound"
    return "upper bound in expectation" if kind.startswith("_iw") else "upper bound"


@dataclass(frozen=True)
class RunName:
    """The parts of a run folder's name."""

    dataset: str
    system: str
    setting: str
    num_samples: int
    seed: int
    fingerprint: str
    """The first 8 hex digits."""

    def __str__(self) -> str:
        return f"{self.cell}__seed{self.seed}__{self.fingerprint}"

    @property
    def cell(self) -> str:
        """The run's cell, as :attr:`lvae_core.config.RunConfig.cell` has it."""
        return f"{self.dataset}__{self.system}__{self.setting}__L{self.num_samples}"

    @staticmethod
    def parse(name: str) -> RunName | None:
        """The parts of a folder name, or None where it is not a run folder's."""
        match = re.fullmatch(
            r"(.+?)__([^_]+)__(standard|inputless)__L(0|[1-9][0-9]{0,8})__seed(0|[1-9][0-9]{0,17})__([0-9a-f]{8})",
            name,
        )
        if not match:
            return None
        dataset, system, setting, samples, seed, fingerprint = match.groups()
        return RunName(dataset, system, setting, int(samples), int(seed), fingerprint)


def run_name(config: RunConfig, fingerprint: str) -> str:
    """The run folder's name."""
    return f"{config.cell}__seed{config.seed}__{fingerprint[:8]}"


class DamagedError(Exception):
    """A file of a run folder cannot be what was written. The message names it, in one line."""


class RunFolder:
    """Reads and writes one run folder; every file appears whole or not at all."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    def __str__(self) -> str:
        return f"{self.store.url}/{self.name}"

    def has(self, file: str) -> bool:
        """Whether the run folder holds ``file``."""
        return self.store.exists(f"{self.name}/{file}")

    def read_json(self, file: str) -> dict[str, Any] | None:
        """The object in ``file``, or None where there is no such file.

        Raises:
            DamagedError: the file is not one JSON object.
        """
        try:
            value = json.loads(self.store.read(f"{self.name}/{file}"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{self}/{file}: damaged, not JSON ({error})") from None
        if not isinstance(value, dict):
            raise DamagedError(f"{self}/{file}: damaged, not a JSON object")
        return value

    def write_json(self, file: str, value: Mapping[str, Any]) -> None:
        """Write an object, indented for people."""
        text = json.dumps(value, indent=2, allow_nan=False)
        self.store.write(f"{self.name}/{file}", text.encode() + b"\n")

    def read_config(self) -> tuple[RunConfig, str] | None:
        """The run's config and fingerprint; None where there is none yet.

        Raises:
            DamagedError: config.json is not what :meth:`write_config` wrote.
        """
        values = self.read_json("config.json")
        if values is None:
            return None
        config, fingerprint = values.get("config"), values.get("fingerprint")
        if not isinstance(config, dict) or not isinstance(fingerprint, str):
            raise DamagedError(f"{self}/config.json: damaged, it holds no config and fingerprint")
        try:
            return from_dict(config), fingerprint
        except InputError as error:
            raise DamagedError(f"{self}/config.json: damaged or foreign ({error})") from None

    def write_config(self, config: RunConfig, fingerprint: str) -> None:
        """Say which run the folder belongs to: what data it trains on is in the fingerprint alone."""
        self.write_json("config.json", {"fingerprint": fingerprint, "config": config.to_dict()})

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one an epoch; [] where there is none yet.

        Raises:
            DamagedError: a line is not a JSON object.
        """
        try:
            lines = self.store.read(f"{self.name}/metrics.jsonl").splitlines()
            rows = [json.loads(line) for line in lines]
        except FileNotFoundError:
            return []
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{self}/metrics.jsonl: damaged, not JSON ({error})") from None
        if not all(isinstance(row, dict) for row in rows):
            raise DamagedError(f"{self}/metrics.jsonl: damaged, a line is not a JSON object")
        return rows

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write all rows anew, so that a run that goes on from a checkpoint takes back later ones."""
        text = "".join(canonical_json(row) + "\n" for row in rows)
        self.store.write(f"{self.name}/metrics.jsonl", text.encode())

    def read_checkpoint(self) -> bytes | None:
        """The serialised training state, its digest verified; None where there is none.

        Raises:
            DamagedError: the file is not what was written.
        """
        try:
            data = self.store.read(f"{self.name}/checkpoint.pt")
        except FileNotFoundError:
            return None
        header, newline, payload = data.partition(b"\n")
        digest = hashlib.sha256(payload).hexdigest().encode()
        if not newline or header != _CHECKPOINT_MAGIC + digest:
            raise DamagedError(f"{self}/checkpoint.pt: damaged, its SHA-256 does not match")
        return payload

    def write_checkpoint(self, payload: bytes) -> None:
        """Replace the checkpoint by a complete newer one that carries its own digest."""
        digest = hashlib.sha256(payload).hexdigest().encode()
        self.store.write(
            f"{self.name}/checkpoint.pt", b"".join([_CHECKPOINT_MAGIC, digest, b"\n", payload])
        )

    def set_aside(self, file: str) -> str:
        """Rename a damaged file so that nothing reads it again; returns its new name."""
        taken = self.store.names(self.name)
        number = 1
        while f"{file}.damaged-{number}" in taken:
            number += 1
        aside = f"{file}.damaged-{number}"
        self.store.rename(f"{self.name}/{file}", f"{self.name}/{aside}")
        return aside

    def write_failure(self, kind: FailureClass, message: str, traceback_tail: str) -> None:
        """Record a failed attempt; attempts are counted over all launches."""
        try:
            earlier = (self.read_json("failure.json") or {}).get("attempt")
        except DamagedError:
            earlier = None
        attempt = earlier + 1 if type(earlier) is int else 1
        self.write_json(
            "failure.json",
            {
                "class": kind,
                "attempt": attempt,
                "message": message,
                "traceback": traceback_tail,
            },
        )

    def clear_failure(self) -> None:
        """A run that is done has not failed, whatever happened on the way."""
        self.store.delete(f"{self.name}/failure.json")


class Study:
    """A named set of runs in one storage place."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.url = self.store.url

    def run_names(self) -> list[str]:
        """Names of the run folders, sorted; anything else in the study's folder is passed over."""
        return [name for name in self.store.names() if RunName.parse(name)]

    def run(self, name: str) -> RunFolder:
        """The run folder of that name, which need not exist yet."""
        return RunFolder(self.store, name)

    def check_writable(self) -> None:
        """Write a probe, read it back and remove it.

        Raises:
            InputError: the place cannot be written or does not give back what was written.
        """
        probe = f".probe-{uuid.uuid4().hex}"  # several launches may probe at the same time
        try:
            self.store.write(probe, b"probe")
            back = self.store.read(probe)
            self.store.delete(probe)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"storage {self.url}: cannot be written ({reason}); give another --storage"
            ) from None
        if back != b"probe":
            raise InputError(f"storage {self.url}: does not give back what was written")


def reproducible(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without the fields that tell time: what is promised to be the same to the last bit."""
    return {key: value for key, value in result.items() if key not in TIMING_FIELDS}
