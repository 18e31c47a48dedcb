"""A frame of runs as plain arrays: taking the rows of a frame of so many columns takes far longer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def values_of(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.object_]:
    """The values of some columns, (rows, columns); None for those that are not known."""
    # One array for all: taking the columns one by one takes ten times as long.
    values: NDArray[np.object_] = frame[list(names)].to_numpy(object, na_value=cast(Any, None))
    return values


def rows_by(frame: pd.DataFrame, names: Sequence[str]) -> dict[tuple[Any, ...], list[int]]:
    """The positions of the rows that have the same values in some columns, in the order of the frame."""
    rows: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(*(frame[name] for name in names), strict=True)):
        rows[key].append(row)
    return rows
