"""The tidy frame of runs: one row per run, NA for what is unknown. Its columns are:

study, folder      the study it was read from, and its folder's name there
run                its name; its path if its folder is not named as a run's and it has no result
dataset, system, setting, num_samples, seed           from its name
status             one of STATUSES
fingerprint, data_sha256                              from result.json
numerics           "current" if this version of lvae_core would train it identically; else the version in
                   provenance.json, or "other"
training           fingerprint of its training by today's rule, if numerics is "current"; folders of
                   earlier versions record others for the same training
result_sha256      digest of result.json's content
metrics_sha256     digest of metrics.jsonl, per result.json
<estimate>, <estimate>_stderr                         nll, nll_elbo, kl, …
<estimate>_jackknife, _ess, _khat_above               of importance-weighted ones; NA if not recorded
failure_class, failure_attempt, message               from failure.json, or what is damaged
evaluation         first 8 digits of the id of the evaluation shown, whose fields are among the config
                   fields; NA if the run lacks the one chosen for its cell
evaluation_version its version of the estimates
evaluated_with     fields that training reads, too, in which it differs from the training, such as
                   svi_steps, as JSON; NA if in none
other_evaluations  the run's evaluations that are not shown, as JSON: the fields in which they differ from
                   the one that is. Of a run as it is read: its further evaluations, with their estimates
tokens … steps, train_seconds, evaluate_seconds       counts and times from result.json
vocabulary         number of classes V; NA if not recorded, as are the next two
train_unknown, test_unknown   the share of the split's tokens that are the unknown word
test_characters    characters of the test split, a space or end of line behind each word included
test_spelling_nats what the letters of its unknown words cost, in nats; NA if not recorded, as is the one
                   before. (NLL x sentences + this) / characters can be compared across vocabularies
true_nll           -log p(x) of the test split under the model that the data were drawn from; NA if unknown
commit, versions, host, dirty                         from provenance.json, of the last attempt
device             of all attempts, from there; of a CPU with its kind
<config field>     every config field not named above; NA if the run does not read it. If precision is auto,
                   what it came to on the device; NA if the run has no result
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa

from lvae_core.config import RunConfig
from lvae_core.parents import AUTOENCODERS
from lvae_core.run_folder.estimates import ADDED, ESTIMATES, diagnostics_of

IDENTITY = ("dataset", "system", "setting", "num_samples", "seed")
"""The columns that follow from a run's name."""

CONFIG_FIELDS = tuple(f.name for f in fields(RunConfig) if f.name not in IDENTITY)
"""The config fields that can make two runs of one cell differ."""

EVALUATION_FIELDS = tuple(f.name for f in fields(RunConfig) if f.metadata["stage"] == "evaluation")
"""The config fields that only the estimates read."""

SHARED_FIELDS = tuple(f.name for f in fields(RunConfig) if f.metadata["stage"] == "both")
"""The config fields that training and the estimates read."""

READ_BY_ESTIMATES = (*EVALUATION_FIELDS, *SHARED_FIELDS)

_DIAGNOSTICS = tuple(f"{name}_{part}" for name in ESTIMATES for part in diagnostics_of(name))

ESTIMATE_COLUMNS = (*(column for name in ESTIMATES for column in (name, f"{name}_stderr")), *_DIAGNOSTICS)

ADDED_COLUMNS = frozenset((*_DIAGNOSTICS, *ADDED, *(f"{name}_stderr" for name in ADDED)))
"""Columns of estimates that results of an earlier version of the code lack, of the same evaluation."""

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
        **dict.fromkeys(("status", "fingerprint", "data_sha256", "numerics", "training"), text),
        **dict.fromkeys(("result_sha256", "metrics_sha256"), text),
        "evaluation": text,
        "evaluation_version": whole,
        "evaluated_with": text,
        "other_evaluations": text,
        **dict.fromkeys(ESTIMATE_COLUMNS, number),
        "failure_class": text,
        "failure_attempt": whole,
        "message": text,
        **dict.fromkeys(COUNTS, whole),
        "steps_per_epoch": whole,
        **dict.fromkeys(TIMES, number),
        "true_nll": number,
        "vocabulary": whole,
        "train_unknown": number,
        "test_unknown": number,
        "test_characters": whole,
        "test_spelling_nats": number,
        **dict.fromkeys(("commit", "versions", "host", "device"), text),
        "dirty": pa.bool_(),
        # Every other config field is text, such as a choice.
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
    """Turn rows into columns, which take a tenth of the memory; a missing key becomes null."""
    return pa.table(
        {name: pa.array([_printable(row.get(name)) for row in rows], t) for name, t in COLUMNS.items()}
    )


def _printable(value: Any) -> Any:
    """Replace characters in a text that would control a terminal or break a line."""
    if isinstance(value, str) and not value.isprintable():
        return "".join(c if c.isprintable() else "\ufffd" for c in value)
    return value


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Turn a table of these columns into a frame."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_DTYPES.get)
    return frame


def runs_in_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that rows of tables show: all but autoencoders, a stage of other runs' training."""
    return frame[~frame["system"].isin(AUTOENCODERS)].reset_index(drop=True)


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort a frame by the names of its runs."""
    return frame.sort_values([*IDENTITY, "run"], ignore_index=True)
