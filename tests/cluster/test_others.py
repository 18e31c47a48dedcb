"""The files for SLURM and Kubernetes, tested as far as possible without either."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "clusters"
BATCH = CLUSTERS / "slurm.sbatch"
RAY_FOLDER = Path(f"/tmp/ray-{os.getpid()}")
"""Of the Ray of a job that has this process's id as its own."""


@pytest.mark.parametrize(
    "script", [BATCH, CLUSTERS / "env.sh", CLUSTERS / "laptop.sh"], ids=lambda p: p.name
)
def test_bash_can_parse_the_script(script):
    done = subprocess.run(
        ["bash", "-n", str(script)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def kuberay():
    return yaml.safe_load((CLUSTERS / "kuberay.yaml").read_text())


def test_ray_derives_an_autoscaler_config_from_the_resource(kuberay):
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    kuberay = {**kuberay, "metadata": {**kuberay["metadata"], "namespace": "default"}}
    config = _derive_autoscaling_config_from_ray_cr(kuberay)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert [(t["min_workers"], t["resources"]["GPU"], t["resources"]["CPU"]) for t in types.values()] == [
        (0, 1, 8)
    ]
    assert config["max_workers"] == 8
    assert config["idle_timeout_minutes"] == 5


def test_the_kubernetes_file_requires_a_token_and_contains_none(kuberay):
    spec = kuberay["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["securityContext"]["runAsNonRoot"]
        assert [variable["name"] for variable in container["env"]] == ["RAY_JOB_STOP_WAIT_TIME_S"]
        # They must be equal: Ray counts limits, but Kubernetes places pods by requests.
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_kubernetes_files_use_the_ray_version_of_the_constraints(kuberay):
    assert f"ray=={kuberay['spec']['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    for line in (CLUSTERS / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _ = line.split()[2:]
            assert all((ROOT / source).exists() for source in sources), line


STUBS = {
    # Skips srun's options and runs the command here.
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then echo "$3"; else echo "$@" >> requeued; fi',
}


@pytest.fixture
def slurm(tmp_path):
    """A function that starts the batch script with fakes of SLURM's commands."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in STUBS.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    for name in (".venv", "sweeps", "lvae_core"):
        (tmp_path / name).symlink_to(ROOT / name)
    started = []

    def start(*options):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = {
            **kept, "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path),
            "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "here", "SLURM_CPUS_PER_TASK": "1",
        }  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [
                        "bash",
                        str(BATCH),
                        "--datasets",
                        "toy",
                        "--systems",
                        "lstm-lm",
                        "--seeds",
                        "1",
                        "--settings",
                        "standard",
                        *options,
                    ],
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
            )
        return started[-1]

    yield start
    # SLURM ends every process that a job has started.
    for job in started:
        os.killpg(job.pid, signal.SIGKILL)
    shutil.rmtree(RAY_FOLDER, ignore_errors=True)


@pytest.mark.parametrize(
    ("addresses", "chosen"),
    [("127.0.1.1 10.1.2.3 fd00::1 ", "10.1.2.3"), ("10.1.2.3 172.17.0.1", "10.1.2.3"), ("127.0.1.1 ", "")],
)
def test_a_job_takes_no_loopback_address_or_stops_with_one_line(tmp_path, addresses, chosen):
    for name, body in {
        **STUBS,
        "hostname": f'[[ $1 == --all-ip-addresses ]] && echo "{addresses}"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    script = BATCH.read_text()
    part = script[script.index("mapfile") : script.index("on=(")]
    done = subprocess.run(
        ["bash", "-c", f'set -euo pipefail\n{part}echo "$ip"'],
        capture_output=True, text=True, timeout=20, check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "here"},
    )  # fmt: skip
    if chosen:
        assert (done.returncode, done.stdout) == (0, f"{chosen}\n"), done.stderr
    else:
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert line.startswith("error: here: has no address that other machines reach; ")


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="the script activates .venv")
def test_a_job_runs_the_grid(slurm, tmp_path):
    job = slurm("--max-epochs", "1")
    assert job.wait(timeout=200) == 0, (tmp_path / "log").read_text()
    assert len(list(tmp_path.glob("runs/paper/*/result.json"))) == 1
    assert not (tmp_path / "requeued").exists()
    # Another user's /tmp/ray would end `ray start`.
    assert (RAY_FOLDER / "ray_current_cluster").exists()


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="the script activates .venv")
def test_a_job_near_its_time_limit_saves_and_queues_again(slurm, tmp_path):
    job = slurm("--max-epochs", "100000", "--set", "patience=100000")
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/paper/*/checkpoint.pt")) and time.monotonic() < end:
        time.sleep(0.2)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=100) == 130, (tmp_path / "log").read_text()
    assert (tmp_path / "requeued").read_text() == f"requeue {os.getpid()}\n"
    assert "resume with:" in (tmp_path / "log").read_text()
