"""The names inside Ray that this project relies on, each where Ray 2.60 has it."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
import ray

READ_IN = "2.60"
SWEEPS = Path(__file__).parents[3] / "sweeps"

CONNECT, HEAD, INTERNALS, START, PATCHES = (
    *("cluster/connect.py", "cluster/head.py", "cluster/internals.py", "cluster/start_clock.py"),
    "launching/tune_patches.py",
)
NAMES = [
    (CONNECT, "ray._private.ray_constants", "ENABLE_RAY_CLUSTER"),
    (CONNECT, "ray._private.utils", "set_sigterm_handler"),
    (CONNECT, "ray._private.worker", "connect"),
    (CONNECT, "ray._private.worker", "listen_error_messages"),
    (CONNECT, "ray._private.node", "Node.start_log_monitor"),
    (CONNECT, "ray._private.node", "Node.start_api_server"),
    (CONNECT, "ray._private.node", "Node.start_monitor"),
    (HEAD, "ray._private.grpc_utils", "init_grpc_channel"),
    (HEAD, "ray._private.services", "canonicalize_bootstrap_address"),
    (HEAD, "ray.core.generated.gcs_service_pb2", "GetClusterIdRequest"),
    (HEAD, "ray.core.generated.gcs_service_pb2_grpc", "NodeInfoGcsServiceStub"),
    (INTERNALS, "ray._private.worker", "_global_node"),
    (INTERNALS, "ray._private.node", "Node.get_session_dir_path"),
    (INTERNALS, "ray._private.node", "Node.webui_url"),
    (START, "ray._private.node", "time.monotonic"),
    (INTERNALS, "ray.autoscaler._private.util", "prepare_config"),
    (INTERNALS, "ray.autoscaler._private.util", "validate_config"),
    (PATCHES, "ray.air.execution._internal", "RayActorManager._actor_task_failed"),
    (PATCHES, "ray.air.execution._internal", "RayActorManager._actor_start_failed"),
    (PATCHES, "ray.tune.execution.class_cache", "ENV_VARS_TO_PROPAGATE"),
    (PATCHES, "ray.tune.execution.tune_controller", "RayActorManager"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController.stop_trial"),
    (PATCHES, "ray.tune.tune", "TuneController"),
    (PATCHES, "ray.tune.utils.object_cache", "_ObjectCache.has_cached_object"),
    (PATCHES, "ray.tune.utils.object_cache", "_ObjectCache.num_cached_objects"),
    (PATCHES, "ray.tune.experiment.trial", "Trial.pickled_error_file"),
    (PATCHES, "ray.tune.experiment.trial", "get_trainable_cls"),
    (PATCHES, "ray.tune.experiment.trial", "validate_trainable"),
    (PATCHES, "ray.tune.trainable.metadata", "_TrainingRunMetadata.update_metric"),
]
# Attributes that a constructor sets: module, class, attribute.
ATTRIBUTES = [
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_actor_cache"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_pending_trials"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_resetting_trials"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_stopped_trials"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_trial_metadata"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_trials"),
    (PATCHES, "ray.tune.execution.tune_controller", "TuneController", "_trials_to_cache"),
    (PATCHES, "ray.tune.experiment.trial", "_TemporaryTrialState", "ray_actor"),
    (PATCHES, "ray.tune.experiment.trial", "Trial", "relative_logdir"),
    (PATCHES, "ray.tune.experiment.trial", "Trial", "storage"),
]


def moved(file: str, name: str) -> str:
    return (
        f"Ray {ray.__version__} has moved {name}: read sweeps/{file} against this version of Ray "
        f"(it was written for Ray {READ_IN})"
    )


@pytest.mark.parametrize(("file", "module", "name"), NAMES, ids=lambda value: value)
def test_every_internal_name_exists(file, module, name):
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        pytest.fail(moved(file, f"{module}.{name}"), pytrace=False)


@pytest.mark.parametrize(("file", "module", "owner", "name"), ATTRIBUTES, ids=lambda value: value)
def test_every_internal_attribute_is_set(file, module, owner, name):
    source = inspect.getsource(getattr(importlib.import_module(module), owner).__init__)
    if f"self.{name} = " not in source and f"self.{name}: " not in source:
        pytest.fail(moved(file, f"{owner}.{name}"), pytrace=False)


def is_private(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "ray" and (
        any(part.startswith("_") for part in parts) or parts[:2] == ["ray", "core"]
    )


def names_in(path: Path) -> list[str]:
    """Dotted names of modules and attributes that a file mentions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
    return names


def test_only_these_files_use_ray_internals():
    users = {
        str(path.relative_to(SWEEPS))
        for path in sorted(SWEEPS.rglob("*.py"))
        if any(is_private(name) for name in names_in(path))
    }
    assert users == {CONNECT, HEAD, INTERNALS, START, PATCHES}


def test_ray_has_a_limit_for_its_start_that_the_patient_clock_can_move():
    source = inspect.getsource(importlib.import_module("ray._private.node"))
    if "time.monotonic() - start_time > raylet_start_wait_time_s" not in source:
        pytest.fail(moved(START, "raylet_start_wait_time_s of ray._private.node"), pytrace=False)
    if "RAY_gcs_server_port_wait_time_s" not in source:
        pytest.fail(moved(CONNECT, "RAY_gcs_server_port_wait_time_s"), pytrace=False)
