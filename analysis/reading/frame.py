"""The tidy frame: a row a run, what is not known is NA. Its columns, kept compact while runs are read.

study, folder    where it was read, and its name there
run              its name, or where it lies if it has no result and a name of its own
dataset, system, setting, num_samples, seed           what its name says
status           one of STATUSES
fingerprint, data_sha256                              of result.json
numerics         "current", or where the fingerprint is not what this version of lvae_core gives to that
                 config and data: the version that provenance.json names, or "other"
result_sha256    digest of result.json's content      metrics_sha256   what it says of metrics.jsonl
<estimate>, <estimate>_stderr                         nll, nll_elbo, kl, …
failure_class, failure_attempt, message               of failure.json, or what is damaged
tokens … steps, train_seconds, evaluate_seconds       the counts and times of result.json
commit, versions, host, device, dirty                 what provenance.json says of the last attempt
<config field>                                        every one that is not named already
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa

from lvae_core.config import RunConfig
from lvae_core.run_folder.estimates import ESTIMATES

IDENTITY = ("dataset", "system", "setting", "num_samples", "seed")
"""What a run folder's name says of it."""

CONFIG_FIELDS = tuple(f.name for f in fields(RunConfig) if f.name not in IDENTITY)
"""The config fields that can make two runs of one cell differ."""

STATUSES = ("done", "running", "failed", "unfinished", "damaged", "missing")

COUNTS = ("tokens", "sentences", "parameters", "best_epoch", "epochs", "steps")
TIMES = ("train_seconds", "evaluate_seconds")


def _columns() -> dict[str, pa.DataType]:
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    types = get_type_hints(RunConfig)
    of_config = {int: whole, float: number, bool: pa.bool_()}
    return {
        **dict.fromkeys(("study", "folder", "run", "dataset", "system", "setting"), text),
        **dict.fromkeys(("num_samples", "seed"), whole),
        **dict.fromkeys(("status", "fingerprint", "data_sha256", "numerics"), text),
        **dict.fromkeys(("result_sha256", "metrics_sha256"), text),
        **{column: number for name in ESTIMATES for column in (name, f"{name}_stderr")},
        "failure_class": text,
        "failure_attempt": whole,
        "message": text,
        **dict.fromkeys(COUNTS, whole),
        **dict.fromkeys(TIMES, number),
        **dict.fromkeys(("commit", "versions", "host", "device"), text),
        "dirty": pa.bool_(),
        **{name: of_config.get(types[name], text) for name in CONFIG_FIELDS},
    }


COLUMNS: dict[str, pa.DataType] = _columns()

_DTYPES = {
    pa.string(): pd.StringDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as columns, in a tenth of the memory; a key that a row lacks is null."""
    return pa.table({name: pa.array([row.get(name) for row in rows], t) for name, t in COLUMNS.items()})


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The frame of a table of such columns."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_DTYPES.get)
    return frame


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by what the names of runs say."""
    return frame.sort_values([*IDENTITY, "run"], ignore_index=True)
