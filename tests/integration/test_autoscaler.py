"""Ray's autoscaler, with raylets as nodes, starts the nodes that a plan needs and stops them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID as HEAD

from lvae_core.data.corpus import load
from lvae_core.model.counts import amount
from lvae_core.run_folder.study import Study
from sweeps.planning.grid import Grid
from sweeps.planning.probe_results import ProbeResult, ProbeResults, key

from .nodes import ROOT, Cluster, process_tree, program_of, wait_until

COMMANDS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)
"""Config fields that stay empty, because the provider starts raylets itself."""

LONG, SHORT = 400, 1
CHANGES = ("max_epochs=12", "iw_samples=4", "iw_exact_samples=0", "valid_samples=1")
GRID = Grid(
    datasets=("toy",), systems={"lstm-vae": (SHORT, LONG)}, settings=("standard",), seeds=2, changes=CHANGES
)
COMMAND = [
    *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", str(SHORT), str(LONG)),
    *("--settings", "standard", "--seeds", "2", "--set", *CHANGES),
]


def autoscaler(gcs: str) -> dict[str, Any]:
    """Return a config for at most six nodes of one CPU, each stopped after six idle seconds."""
    return {
        "cluster_name": "test",
        "max_workers": 6,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            **{"use_node_id_as_ip": True, "disable_node_updaters": True},
            **{"disable_launch_config_check": True, "gcs_address": gcs, "launch_multiple": True},
            "head_node_id": HEAD,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {
                **{"resources": {"CPU": 1, "object_store_memory": 80_000_000}, "node_config": {}},
                **{"min_workers": 0, "max_workers": 6},
            },
        },
        "head_node_type": "ray.head.default",
        **{"auth": {}, "file_mounts": {}, "file_mounts_sync_continuously": False, "docker": {}},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter", *COMMANDS)},
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 0.1,
    }


class Head(Cluster):
    """A head that takes no runs, with version 2 of the autoscaler, which `ray up` and KubeRay start.

    Version 1 may add a node that is not needed: it lists the nodes, then asks which are being started, and
    a node that starts in between is on neither list (seen in 2.60). That node stops when it has been idle.
    """

    def __init__(self, config: Path) -> None:
        self._config = config
        super().__init__(head_cpus=0)

    def _start(self, *options: str, **others: Any) -> subprocess.Popen[bytes]:
        self._config.write_text(json.dumps(autoscaler(self.address)))
        environment = {
            **{"RAY_enable_autoscaler_v2": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
            **{"RAY_FAKE_CLUSTER": "1", "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD},
            "RAY_CLOUD_INSTANCE_ID": HEAD,
        }
        return super()._start(
            *options, "--autoscaling-config", str(self._config), environment=environment, **others
        )


@pytest.mark.slow
def test_the_autoscaler_starts_only_nodes_that_the_plan_can_use_and_stops_them_at_its_end(tmp_path):
    toy, study = load("toy"), Study(str(tmp_path / "runs" / "paper"))
    for config in GRID.configs()[:2]:  # one run of each cell
        tokens, seconds = amount(config, toy), 100.0 if config.num_samples == LONG else 40.0
        rate = (tokens.train + tokens.evaluate) / seconds
        ProbeResults(study).put("here", key(config, toy.data_sha256), ProbeResult(1, 1, rate, rate, 1.0))

    cluster = Head(tmp_path / "autoscaler.json")
    try:
        assert count_workers(cluster) == 0
        script = str(ROOT / "sweeps" / "paper_grid.py")
        driver = subprocess.Popen(
            [sys.executable, script, *COMMAND, "--address", cluster.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**cluster.environment, "RAY_CLUSTER_NAME": "test"},
        )
        samples = []
        end = time.monotonic() + 240
        while driver.poll() is None and time.monotonic() < end:
            samples.append((count_workers(cluster), len(list(tmp_path.rglob("result.json")))))
            time.sleep(0.5)
        out, _ = driver.communicate(timeout=240)
        assert driver.returncode == 0, out
        # Two long runs, and one slot for both short ones; a fourth node would not end the sweep sooner.
        assert max(number for number, _ in samples) == 3, list(dict.fromkeys(samples))
        # The third node stops while the long runs are still training.
        assert min(number for number, done in samples if done == 2) == 2
        assert wait_until(lambda: count_workers(cluster) == 0)
    finally:
        cluster.stop()


def count_workers(cluster: Cluster) -> int:
    """Return the number of raylets, not counting the head's."""
    return (
        sum(program_of(pid) == "raylet" for start in cluster._starts for pid in process_tree(start.pid)) - 1
    )
