"""Answers to the GraphQL operations with which the wandb client uploads artifacts.

As on W&B, content that a collection already has makes no second version: its digest names it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Server

ENTITY, TIME = "reader", "2026-01-01T00:00:00Z"


@dataclass
class Artifact:
    """A version of a collection of artifacts."""

    id: str
    fields: dict[str, Any]
    """The input of createArtifact."""
    committed: bool = False
    manifest: str = ""
    """The address to which its manifest is uploaded."""
    addresses: dict[str, str] = field(default_factory=dict)
    """File -> the address to which its content is uploaded."""

    def files(self, server: Server) -> dict[str, bytes]:
        """The content of its files, by name, as its manifest lists them."""
        contents = json.loads(server.uploads[self.manifest])["contents"]
        return {name: server.uploads[self.addresses[name]] for name in contents}


def _type(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables["name"].partition(":")[0]
    found = [a for a in server.artifacts.values() if a.fields["artifactCollectionName"] == name]
    kind = {"artifactType": {"name": found[0].fields["artifactTypeName"]}} if found else None
    return {"project": {"artifact": kind}}


def _create(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    given = variables["input"]
    same = [
        artifact
        for artifact in server.artifacts.values()
        if artifact.committed
        and all(artifact.fields[name] == given[name] for name in ("artifactCollectionName", "digest"))
    ]
    identity = base64.b64encode(f"Artifact:{len(server.artifacts) + 1}".encode()).decode()
    artifact = same[0] if same else server.artifacts.setdefault(identity, Artifact(identity, given))
    latest = {"latestArtifact": {"id": artifact.id} if same else None}
    state = "COMMITTED" if artifact.committed else "PENDING"
    return {"createArtifact": {"artifact": {"id": artifact.id, "state": state, "artifactSequence": latest}}}


def _manifest(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    given = variables.get("input") or variables
    artifact = server.artifacts[given["artifactID"]]
    artifact.manifest = f"/put/{artifact.id}/{given['digest']}"
    file = {
        "id": "f",
        "name": given["name"],
        "displayName": given["name"],
        "directUrl": "",
        "storagePath": "",
    }
    upload = {"uploadUrl": server.url + artifact.manifest, "uploadHeaders": []}
    manifest = {"id": f"manifest-{artifact.id}", "file": {**file, **upload}}
    return {"createArtifactManifest": {"artifactManifest": manifest}}


def _files(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    edges = []
    for spec in variables["input"]["artifactFiles"]:
        artifact = server.artifacts[spec["artifactID"]]
        address = f"/put/{artifact.id}/{spec['md5'].replace('/', '_')}"
        artifact.addresses[spec["name"]] = address
        node = {"id": "f", "name": spec["name"], "displayName": spec["name"], "storagePath": ""}
        upload = {"uploadUrl": server.url + address, "uploadHeaders": [], "uploadMultipartUrls": None}
        parent = {"artifact": {"id": artifact.id}}
        edges.append({"node": {**node, **upload, **parent}})
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def _commit(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    given = variables.get("input") or variables
    artifact = server.artifacts[given["artifactID"]]
    artifact.committed = True
    return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.fields["digest"]}}}


def _by_id(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    artifact = server.artifacts[variables["id"]]
    fields = artifact.fields
    project = {"__typename": "Project", "id": "p", "internalId": "1", "name": fields["projectName"]}
    sequence = {
        "__typename": "ArtifactSequence",
        "id": "s",
        "name": fields["artifactCollectionName"],
        "project": {**project, "entity": {"__typename": "Entity", "id": "e", "name": fields["entityName"]}},
    }
    return {
        "artifact": {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": sequence,
            "versionIndex": 0,
            "artifactType": {"name": fields["artifactTypeName"]},
            "description": fields["description"],
            "metadata": fields["metadata"],
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED" if artifact.committed else "PENDING",
            "size": 0,
            "digest": fields["digest"],
            "digestAlgorithm": fields["digestAlgorithm"],
            "commitHash": "c",
            "fileCount": len(artifact.addresses),
            "createdAt": TIME,
            "updatedAt": TIME,
            "aliases": [],
        }
    }


OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "ArtifactType": _type,
    "CreateArtifact": _create,
    "CreateArtifactManifest": _manifest,
    "CreateArtifactFiles": _files,
    "CommitArtifact": _commit,
    "ArtifactByID": _by_id,
}
