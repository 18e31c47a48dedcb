"""Check who can get into the cluster, and which secrets others can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from sweeps.checks.findings import Finding, Node, Row, all_ok, findings_of


def security(
    nodes: Sequence[Node], dashboard: str | None, arguments: Sequence[str], environ: Mapping[str, str]
) -> list[Finding]:
    """Check that others can neither get into the cluster nor read secrets.

    Args:
        nodes: the nodes, with their facts.
        dashboard: HOST:PORT of Ray's dashboard, if there is one.
        arguments: the command line of this process.
        environ: the environment of this process.
    """
    found: list[Row] = []
    if any(node.facts and not node.facts.tokens for node in nodes):
        detail = "anyone who reaches Ray's ports can run code: Ray asks for no token"
        remedy = "run `ray get-auth-token --generate`, start every node with RAY_AUTH_MODE=token"
        found.append(("warning", "cluster", detail, remedy))
    if dashboard and not _is_loopback(dashboard):
        detail = f"the dashboard at {dashboard} is open to the network"
        found.append(("warning", "cluster", detail, "start the head with --dashboard-host 127.0.0.1"))
    for name in exposed_secrets(arguments, environ):
        detail = f"the value of {name} is on the command line, which others can read"
        found.append(("failure", "this machine", detail, "pass it in the environment only, and replace it"))
    fine = "tokens required, no dashboard open to the network, no secret on the command line"
    return findings_of("security", found) or all_ok("security", nodes, fine)


def exposed_secrets(arguments: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """The names of environment variables that hold a secret whose value is on a command line."""
    line = "\0".join(arguments)
    return sorted(
        name
        for name, value in environ.items()
        if re.search(r"(^|_)(SECRET|TOKEN|PASSWORD|API_KEY)(_|$)", name)
        # A short value is no secret and occurs by chance; a path only says where a secret is stored.
        and not re.search(r"_(PATH|FILE|DIR)$", name)
        and len(value) >= 8
        and value in line
    )


def _is_loopback(address: str) -> bool:
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
