"""Check a file for `ray up`, because Ray reports mistakes in it with tracebacks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lvae_core.errors import InputError, reason
from lvae_core.training.failures import one_line
from sweeps.checks.findings import Finding

_ALWAYS = (
    *("cluster_name", "provider.type", "auth.ssh_user", "file_mounts", "setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)
_BY_PROVIDER = {
    "local": ("provider.head_ip", "provider.worker_ips", "auth.ssh_private_key"),
    "aws": ("provider.region", "head_node_type", "available_node_types"),
}
_TOKEN = "~/.ray/auth_token"


def examine(name: str) -> list[Finding]:
    """Find what would make `ray up` fail: one finding for each problem, or one that says all is fine.

    Args:
        name: the file, relative to the folder in which `ray up` will be called.

    Raises:
        InputError: the file cannot be read, or is not YAML.
    """
    config = _read(name)
    problems = [*_missing(config)] or [*_wrong_types(config)]
    if not problems:
        problems = [*_schema(config), *_unchanged(config), *_absent(config)]
    found = [
        Finding(check="cluster file", where=name, state="failure", detail=detail, remedy=remedy)
        for detail, remedy in problems
    ]
    fine = "has everything that `ray up` needs"
    return found or [Finding(check="cluster file", where=name, state="ok", detail=fine)]


def _read(name: str) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--cluster {name}: cannot be read ({reason(error)})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise InputError(f"--cluster {where}: not YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(config, dict):
        raise InputError(f"--cluster {name}: no fields in it; see cluster.yaml")
    return config


def _get(config: Mapping[str, Any], dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _missing(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = _get(config, "provider.type")
    for field in (*_ALWAYS, *_BY_PROVIDER.get(kind if isinstance(kind, str) else "", ())):
        if _get(config, field) is None:
            yield f"{field} is missing", "give it, as cluster.yaml and clusters/rack.yaml do"


_TYPES: Mapping[str, type] = {
    "file_mounts": dict,
    "provider.worker_ips": list,
    "auth.ssh_user": str,
    "auth.ssh_private_key": str,
}
_TYPE_NAMES: Mapping[type, str] = {dict: "a mapping of paths to paths", list: "a list", str: "text"}


def _wrong_types(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields that this file reads, with values of another type. Ray's schema leaves some of them open."""
    for field, type_ in _TYPES.items():
        value = _get(config, field)
        if value is not None and not isinstance(value, type_):
            yield (
                f"{field}: {value!r} is not {_TYPE_NAMES[type_]}",
                "write it as cluster.yaml and clusters/rack.yaml do",
            )


def _schema(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Problems that Ray's own schema finds."""
    # Ray and the schema take seconds to import.
    from jsonschema import ValidationError

    from sweeps.cluster.internals import validate_cluster_config

    try:
        # Ray prints a warning for each mounted file, although files are meant.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            validate_cluster_config(config)
    except ValidationError as error:
        place = ".".join(map(str, error.absolute_path)) or "at its top"
        yield f"{place}: {error.message.partition(chr(10))[0]}", "see Ray's cluster YAML reference"
    except Exception as error:  # a file that fits the schema may still lack something
        yield f"Ray rejects it ({one_line(error)})", "see Ray's cluster YAML reference"


def _unchanged(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Examples that the user has not replaced."""
    addresses = [_get(config, "provider.head_ip"), *(_get(config, "provider.worker_ips") or [])]
    if taken := [str(a) for a in addresses if str(a).startswith("192.0.2.")]:
        yield (
            f"{', '.join(taken)}: example addresses, not machines",
            "give yours, as provider.head_ip and worker_ips",
        )
    if "ami-00000000000000000" in str(config):
        yield (
            "metadata.image: an image that does not exist",
            "use an image of your region; see the file",
        )


def _absent(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Files and folders that the file names but that do not exist."""
    sent = [str(path) for path in config["file_mounts"].values()]
    for path in sent + ([key] if (key := _get(config, "auth.ssh_private_key")) else []):
        try:
            if Path(path).expanduser().exists():
                continue
        except (OSError, RuntimeError, ValueError) as error:  # such as ~nobody, or too long a name
            yield f"{path}: no path ({one_line(error)})", "give a path on this machine"
            continue
        if path == _TOKEN:
            yield f"{path} is not there", "run `ray get-auth-token --generate`"
        elif path == "data":
            yield "the folder data is not there", "run `mkdir -p data`, and put corpora there"
        else:
            yield (
                f"{path} is not there",
                "call `ray up` in the checkout's top folder, with the key in place",
            )
