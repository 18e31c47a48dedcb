"""Settings of trials: their test estimates are not used, so they cost as little as possible."""

from __future__ import annotations

from collections.abc import Iterator

from lvae_core.config import RunConfig
from lvae_core.identity import fields_read
from lvae_core.run_folder.study import Study
from lvae_core.settings import apply_where_read, parse_settings
from sweeps.trials.history import recorded_search
from sweeps.trials.options import Options
from sweeps.trials.space import text_of

_CHEAP = parse_settings(("iw_samples=2", "iw_exact_samples=0", "mi_samples=2"))


def cheap_config(base: RunConfig, study: Study) -> RunConfig:
    """The config of trials.

    A field that training reads, too, keeps its value: validation with many draws may score some of them
    roughly. Earlier versions changed it nevertheless, and a search of theirs keeps that.

    Args:
        base: the config of the runs on fresh seeds.
        study: keeps the trials; it need not exist.

    Raises:
        OSError: the storage cannot be read.
    """
    read, recorded = fields_read(base, "training"), recorded_search(study)
    changes = {
        field: value
        for field, value in _CHEAP.items()
        if field not in read or recorded.get(field) == text_of(value)
    }
    return apply_where_read(base, changes)[0]


def cheap_notes(options: Options, base: RunConfig, cheap: RunConfig) -> Iterator[str]:
    """A line if trials are evaluated with other values than the user has given."""
    names = [name for name in parse_settings(options.given_changes()) if name in _CHEAP]
    changed = [name for name in names if getattr(base, name) != getattr(cheap, name)]
    if changed:
        used, given = (
            " ".join(f"{name}={getattr(config, name)}" for name in changed) for config in (cheap, base)
        )
        fresh = f"; the comparison on fresh seeds has {given}" if options.fresh_seeds else ""
        yield f"note: trials have {used}, because their test estimates are not used{fresh}"
