"""Errors that end a command with one line."""

from __future__ import annotations

import difflib
import errno
import operator
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import SupportsFloat, SupportsIndex, cast

_ALLOW = "ask its owner for access, or use a copy or another folder"

_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
    errno.EROFS: "make its disk writable, or use a copy",
    errno.EOPNOTSUPP: "give another folder",
}

_MOST_LISTED = 20
"""More valid names than these are not listed in an error."""

_LISTS: Mapping[str, str] = {
    "config field": "`python -m lvae_core recipe lstm-vae` prints them all, docs/reference.md explains them"
}
"""Kind of a name -> where to find all names, if they are many."""

_OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "config field": {
        "learning_rate": "lr alpha",
        "max_grad_norm": "clip grad_clip gradient_clip clip_grad clip_norm gradient_clipping",
        "batch_size": "bs batch minibatch",
        "optimiser": "opt",
        "adam_epsilon": "eps",
        "patience": "early_stopping",
        "max_steps": "steps",
        "kl_weight": "beta kl_beta kl_coefficient",
        "kl_anneal_epochs": "warmup warm_up kl_warmup warmup_epochs anneal annealing kl_annealing",
        "kl_anneal_steps": "warmup_steps",
        "free_bits": "fb",
        "svi_steps": "k",
        "num_samples": "l samples",
        "iw_samples": "s importance_samples",
        "hidden_size": "h h_dim dim_h rnn_size",
        "latent_size": "z z_dim dim_z nz z_size",
        "embedding_size": "d e_dim dim_emb emb emb_dim embed ni word_dim",
        "max_vocabulary": "v vocab vocab_size",
        "min_count": "min_freq",
        "mu_batch_norm": "bn",
        "system": "model",
        "seed": "random_seed",
    }
}
"""Kind of a name -> name -> its other common names that no likeness of letters would lead to it."""

NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Error numbers of a write to something that belongs to another user, or is read-only."""


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, where, remedy."""


def check_distinct(values: Iterable[object], given: str) -> None:
    """Raise InputError if a list has a value twice. ``given``: where, for the message."""
    for value, times in Counter(values).items():
        if times > 1:
            raise InputError(f"{given}: {value} is given twice; leave one out")


def check_name(name: object, valid: Collection[str], kind: str) -> None:
    """Raise :class:`InputError` with the nearest valid name unless ``name`` is one of ``valid``.

    A name in other letters, such as ``LSTM-VAE`` for ``lstm-vae``, is near, and so is another common name,
    such as ``lr`` for ``learning_rate``. If there are many names and none is near, the three most similar
    ones are given.
    """
    if isinstance(name, str) and name in valid:
        return
    folded = {known.casefold(): known for known in valid}
    word = str(name).casefold()
    others = _OTHER_NAMES.get(kind, {}).items()
    if meant := [known for known, other in others if word.replace("-", "_") in other.split()]:
        hint = f"did you mean {meant[0]!r}?"
    elif near := difflib.get_close_matches(word, folded, n=1, cutoff=0.6):
        hint = f"did you mean {folded[near[0]]!r}?"
    elif len(folded) <= _MOST_LISTED:
        hint = "choose from " + ", ".join(valid)
    else:
        nearest = difflib.get_close_matches(word, folded, n=3, cutoff=0.0)
        where = f"; {place}" if (place := _LISTS.get(kind)) else ""
        hint = f"the most similar of {len(folded)} are {', '.join(folded[n] for n in nearest)}{where}"
    raise InputError(f"unknown {kind} {_shown(name)}: {hint}")


def check_type(name: str, value: object, type_: type | tuple[type, ...], what: str) -> None:
    """Check the type of an argument of the API in Python.

    Args:
        name: of the argument.
        value: of the argument.
        type_: as for ``isinstance``; True and False are no numbers.
        what: what the argument must be, such as "a whole number".

    Raises:
        InputError: the value has another type.
    """
    if not isinstance(value, type_) or isinstance(value, bool):
        raise InputError(f"{name} = {_shown(value)}: must be {what}")


def whole_number(name: str, value: object, what: str = "a whole number") -> int:
    """An argument of the API in Python as a plain int; NumPy's whole numbers are taken, too.

    Raises:
        InputError: the value is no whole number. True and False are none.
    """
    check_type(name, value, Integral, what)
    return operator.index(cast(SupportsIndex, value))


def real_number(name: str, value: object) -> float:
    """An argument of the API in Python as a plain float; NumPy's numbers are taken, too.

    Raises:
        InputError: the value is no number. True and False are none.
    """
    check_type(name, value, Real, "a number")
    return float(cast(SupportsFloat, value))


def plain_value(value: object) -> object:
    """A value of NumPy as the bool, int, float or str that it equals; everything else as it is."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return operator.index(cast(SupportsIndex, value)) if isinstance(value, Integral) else float(value)


def check_data_dir(data_dir: object) -> None:
    """Raise InputError if the folder of corpora, an argument of the API in Python, has another type."""
    if data_dir is not None:
        check_type("data_dir", data_dir, (str, Path), "the path of a folder")


def _shown(value: object) -> str:
    """A value on one line that is not long."""
    return " ".join((repr(value) if isinstance(value, str) else reprlib.repr(value)).split())


def reason(error: BaseException) -> str:
    """The reason of an error in one line: of an error of the system its words, without the file."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def cannot_read(place: object, error: OSError) -> InputError:
    """The error to raise if something that the user named cannot be read."""
    return InputError(f"{place}: cannot be read ({reason(error)})")


def describe(error: OSError, at: str = "", next_step: str = "") -> str:
    """Describe an error of the system in one line: where, what and, if there is one, the remedy.

    Args:
        error: the error.
        at: where it happened, if the error names no file.
        next_step: what to do once it is remedied.
    """
    where = at if error.filename is None else error.filename
    steps = ", then ".join(filter(None, (_REMEDIES.get(error.errno or 0), next_step)))
    described = f"{where}: {reason(error)}" if where else reason(error)
    return f"{described}; {steps}" if steps else described
