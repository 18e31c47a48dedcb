"""Log in to W&B with the user's key. The library is loaded inside the functions: it takes a second."""

from __future__ import annotations

import importlib.util
import os

from lvae_core.errors import InputError

_OF_SINGLE_RUNS = (
    "SWEEP_ID",
    "RUN_ID",
    "RESUME",
    "NAME",
    "RUN_GROUP",
    "JOB_TYPE",
    "TAGS",
    "MODE",
    "SERVICE",
)


def require_wandb(user: str, module: str = "wandb") -> None:
    """Raise InputError if a library of W&B is not installed.

    Args:
        user: the command or option that needs it.
        module: the name by which it is imported.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{user}: wandb is not installed; pip install -c constraints.txt -e '.[wandb]'")


def prepare_environment() -> None:
    """Ignore WANDB_* variables that are meant for single runs; send no error reports to third parties."""
    for name in _OF_SINGLE_RUNS:
        os.environ.pop(f"WANDB_{name}", None)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")


def base_url() -> str:
    """The server's address."""
    import wandb

    return str(wandb.setup().settings.base_url)


def require_key(user: str = "") -> None:
    """Log in with the user's key, and never ask for it.

    Args:
        user: the command, for the message; a command that another one starts leaves it out.

    Raises:
        InputError: there is no key, or one that cannot be a key.
    """
    from wandb.errors import AuthenticationError
    from wandb.sdk.lib import wbauth

    host, command = base_url(), f"{user}: " if user else ""
    try:
        found = wbauth.authenticate_session(host=host, source="lvae", prompt=False, no_offline=True)
    except AuthenticationError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(f"{command}{reason}; give an API key of {host}") from None
    if not found:
        raise InputError(
            f"{command}no API key for {host}; set WANDB_API_KEY, or run `wandb login`, which keeps one in "
            "~/.netrc"
        )
