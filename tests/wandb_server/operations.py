"""Answers to the GraphQL operations of the wandb client, by operation name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Server

ENTITY = "reader"

LONGEST_NAME = 128
"""Letters of the longest name of a run or a group, as of W&B's servers."""


class RefusedError(Exception):
    """The answer to a mutation that W&B refuses: an HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _viewer(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    teams = {"edges": [{"node": {"name": ENTITY, "id": "t"}}]}
    viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "admin": False}
    return {
        "viewer": {**viewer, "name": ENTITY, "deletedAt": None, "apiKeys": {"edges": []}, "teams": teams}
    }


def _features(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


def _resume(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    run = server.runs.get(variables["name"])
    model = {
        "id": "p",
        "name": variables["project"],
        "entity": {"id": "e", "name": variables["entity"] or ENTITY},
    }
    if run is None:
        return {"model": {**model, "bucket": None}}
    bucket = {
        "id": f"id-{run.id}",
        "name": run.id,
        "summaryMetrics": json.dumps(run.summary),
        "displayName": run.fields.get("displayName"),
        "logLineCount": 0,
        "historyLineCount": len(run.history),
        "eventsLineCount": 0,
        "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
        "eventsTail": "[]",
        "config": run.fields.get("config") or "{}",
        "tags": run.fields.get("tags") or [],
        "notes": None,
        "wandbConfig": json.dumps({"t": run.client.get("t")}),
    }
    return {"model": {**model, "bucket": bucket}}


def _run(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    run = server.runs.get(variables["name"])
    if run is None or run.project != variables["project"] or run.entity != variables["entity"]:
        return {"project": None}
    found = {
        "id": f"id-{run.id}",
        "projectId": "1",
        "name": run.id,
        "displayName": run.fields.get("displayName"),
        "tags": run.fields.get("tags") or [],
        "state": run.states[-1] if run.states else "running",
        "config": run.fields.get("config") or "{}",
        "group": run.fields.get("groupName"),
        "jobType": run.fields.get("jobType"),
        "createdAt": "2026-01-01T00:00:00Z",
        "heartbeatAt": "2026-01-01T00:00:00Z",
        "systemMetrics": "{}",
        "summaryMetrics": json.dumps(run.summary),
        "historyLineCount": len(run.history),
        "historyKeys": {"lastStep": run.history[-1]["_step"] if run.history else -1},
        "user": {"name": ENTITY, "username": ENTITY},
        "readOnly": False,
    }
    empty = ("sweepName", "commit", "description", "notes")
    return {"project": {"run": {**found, **dict.fromkeys(empty)}}}


def _upsert(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    entity, project = variables.get("entity") or ENTITY, variables.get("project") or "uncategorized"
    inserted = variables["name"] not in server.runs
    if variables["name"] in server.deleted:
        path = f"{entity}/{project}/{variables['name']}"
        raise RefusedError(409, f"run {path} was previously created and deleted; try a new run name")
    for field in ("displayName", "groupName"):
        if len(variables.get(field) or "") > LONGEST_NAME:
            raise RefusedError(400, f"invalid parameter: {field} has more than {LONGEST_NAME} characters")
    server.projects.add(project)
    run = server.run(entity, project, variables["name"])
    run.fields |= {key: value for key, value in variables.items() if value is not None}
    if not run.states or run.states[-1] != "running":
        run.states.append("running")
        run.preempting = False
    bucket = {
        "id": f"id-{run.id}",
        "name": run.id,
        "displayName": run.fields.get("displayName"),
        "description": None,
        "config": run.fields.get("config"),
        "sweepName": None,
        "project": {"id": "p", "name": project, "entity": {"id": "e", "name": entity}},
        "historyLineCount": len(run.history),
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


def _files(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, "uploadUrl": f"{server.url}/put/{name}"} for name in variables["files"]]
    return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}


def _projects(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    nodes = [
        {"__typename": "Project", "id": "p", "name": name, "entityName": variables["entity"], "user": None}
        | {"createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False}
        for name in sorted(server.projects)
    ]
    page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
    return {"models": {"pageInfo": page, "edges": [{"node": node} for node in nodes]}}


def _project(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    return {"project": {"id": "p", "internalId": base64.b64encode(b"ProjectInternalId:1").decode()}}


def _views(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    edges = [{"node": view, "cursor": view["id"]} for view in server.views.values()]
    page = {"endCursor": None, "hasNextPage": False}
    return {"project": {"allViews": {"edges": edges, "pageInfo": page}}}


def _view(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    return {"view": server.views.get(variables["reportId"])}


def _upsert_view(server: Server, variables: dict[str, Any]) -> dict[str, Any]:
    inserted = variables["id"] not in server.views
    # The same form as real ids: base64 of View:<number>.
    identity = variables["id"] or base64.b64encode(f"View:{len(server.views) + 1}".encode()).decode()
    project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
    times = dict.fromkeys(("createdAt", "updatedAt"), "2026-01-01T00:00:00Z")
    kept = {key: variables[key] for key in ("type", "name", "displayName", "description", "spec")}
    server.views[identity] = {**kept, "id": identity, "project": project, **times, "user": None}
    return {"upsertView": {"view": server.views[identity], "inserted": inserted}}


OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "Viewer": _viewer,
    "GetDefaultEntity": _viewer,
    "ServerFeaturesQuery": _features,
    "RunResumeStatus": _resume,
    "Run": _run,
    "UpsertBucket": _upsert,
    "CreateRunFiles": _files,
    "GetProjects": _projects,
    "ProjectInternalId": _project,
    "ProjectViews": _views,
    "SpecificReport": _view,
    "upsertView": _upsert_view,
}
