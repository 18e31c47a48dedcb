"""`ray up` of ``clusters/rack.yaml`` over SSH to test hosts, and a grid on it, as in docs/cluster.md.

The tests share one cluster and depend on their order.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..chaos.small_run import write_corpus
from .hosts import missing_requirement, network, wait_until
from .rack import BUCKET, FILE, Rack, rack, wrong_token

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

GRID = "python sweeps/paper_grid.py --address auto --preset demo --seeds 1"
RUNS = 8
SUBMIT = "ray job submit --working-dir ."


@pytest.fixture(scope="module", autouse=True)
def skip_if_hosts_are_impossible() -> None:
    if reason := missing_requirement():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def up(skip_if_hosts_are_impossible) -> Iterator[Rack]:
    """The rack after `ray up`, with one machine still switched off."""
    with rack() as machines:
        (machines.laptop.home / "lvae" / "data" / "words").mkdir(parents=True)
        write_corpus(machines.laptop.home / "lvae" / "data" / "words")
        for command in (
            "ray get-auth-token --generate > /dev/null",
            f"ray up -y {FILE}",
        ):
            done = machines.on_laptop(command, seconds=400)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        assert wait_until(lambda: count_nodes(machines) == 2, seconds=180, every=2.0), machines.on_head(
            "ray status"
        ).stdout
        # In a separate session, so that the last test can end it together with its SSH, as Ctrl-C does.
        tunnel = f"setsid ray dashboard {FILE} > /tmp/dashboard.log 2>&1 < /dev/null"
        done = machines.on_laptop(f"({tunnel} & echo $! > /tmp/dashboard.pid) && sleep 8")
        assert done.returncode == 0, done.stderr
        yield machines


def count_nodes(machines: Rack) -> int:
    """Return the number of live nodes of the cluster."""
    query = "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    done = machines.on_head(f'python -c "{query}"')
    lines = done.stdout.split()
    return int(lines[-1]) if done.returncode == 0 and lines else 0


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def results(study: Path) -> list[Path]:
    return sorted(study.glob("*/result.json"))


def unfinished_runs(study: Path, host: str) -> list[Path]:
    """Return the runs on a host that have a checkpoint and no result."""
    return [
        path.parent
        for path in study.glob("*/provenance.json")
        if read(path)["attempts"][-1]["host"] == host
        and (path.parent / "checkpoint.pt").exists()
        and not (path.parent / "result.json").exists()
    ]


def test_the_doctor_examines_every_node_and_finds_no_problem(up):
    done = up.on_head(
        f"python sweeps/doctor.py --address auto --storage {up.shared} --datasets pydocs data/words"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for host in (up.head, up.workers[0]):
        assert host.address in done.stdout
    assert "answered: 2" in done.stdout
    assert "tokens required" in done.stdout


@pytest.mark.parametrize("token", ["wrong", "none"])
def test_a_client_without_the_token_is_refused(up, token):
    client = f"export RAY_AUTH_TOKEN={wrong_token()};" if token == "wrong" else "mv ~/.ray ~/.ray-away;"
    try:
        submitted = up.on_laptop(f"{client} ray job list")
        launched = up.on_head(f"{client} {GRID} --storage {up.shared} --study refused")
    finally:
        for host in (up.laptop, up.head):
            host.run("test ! -d ~/.ray-away || mv ~/.ray-away ~/.ray")
    assert submitted.returncode != 0
    assert (
        "uthenticat" in submitted.stdout + submitted.stderr or "oken" in submitted.stdout + submitted.stderr
    )
    assert launched.returncode == 2, launched.stdout + launched.stderr
    (line,) = launched.stderr.splitlines()
    assert line.startswith("error: --address auto: Ray refuses the connection; ")
    assert results(up.shared / "refused") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--storage {} --gpus-per-run auto", "no node can take a run of 1 CPUs and 1 GPUs"),
        ("--storage results", "is in the copy of the code that came with the job"),
        ("--storage /tmp/results", "does not see /tmp/results"),
        ("--storage {} --max-concurrent 0", "--max-concurrent 0: must be at least 1"),
    ],
)
def test_a_job_that_cannot_succeed_ends_with_one_line(up, options, message):
    done = up.on_laptop(f"{SUBMIT} -- {GRID} --study no {options.format(up.shared)}")
    assert done.returncode != 0
    assert "exit code 2" in done.stdout
    # The line appears once in the stream and once in Ray's summary.
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert len(set(lines)) == 1, done.stdout
    assert message in lines[0]
    assert results(up.shared / "no") == []


def test_the_dashboard_answers_only_on_the_head(up):
    connect = "timeout 5 bash -c '</dev/tcp/{}/8265'"
    assert up.laptop.run(connect.format(up.head.address)).returncode != 0
    assert up.head.run(connect.format("127.0.0.1")).returncode == 0


def test_a_grid_survives_the_loss_of_a_host_and_of_the_laptop(up):
    study = up.shared / "demo"
    grid = f"{SUBMIT} --submission-id grid -- {GRID} --storage {up.shared}"
    # The logs stream back until Ctrl-C on the laptop, which does not stop the job.
    submitted = up.on_laptop(f"timeout -s INT 40 {grid}", seconds=200)
    assert f"{RUNS} of {RUNS} runs to do" in submitted.stdout, submitted.stdout + submitted.stderr
    assert "RUNNING" in up.on_laptop("ray job status grid").stdout
    assert wait_until(lambda: unfinished_runs(study, "h2"), seconds=200)
    lost = unfinished_runs(study, "h2")
    up.workers[0].kill()
    assert len(results(study)) < RUNS
    up.workers[1].start()
    # Attach to the job again and follow it to its end.
    attached = up.on_laptop("ray job logs -f grid", seconds=900)
    assert "succeeded" in up.on_laptop("ray job status grid").stdout, attached.stdout[-4000:]
    assert "its process or node was lost" in attached.stdout
    assert len(results(study)) == RUNS
    for folder in lost:
        attempts = read(folder / "provenance.json")["attempts"]
        assert len(attempts) > 1
        # It resumed from a checkpoint on another host.
        assert attempts[-1]["from_step"] > 0
        assert attempts[-1]["host"] != "h2"


def test_a_machine_that_is_switched_on_later_joins(up):
    assert wait_until(lambda: count_nodes(up) == 2, seconds=300, every=2.0)
    assert up.workers[1].address in up.on_head("ray list nodes").stdout


def test_the_commit_travels_with_the_code(up):
    commit = up.on_laptop("git -c safe.directory='*' rev-parse HEAD").stdout.strip()
    attempts = [
        a for r in results(up.shared / "demo") for a in read(r.parent / "provenance.json")["attempts"]
    ]
    assert {attempt["commit"] for attempt in attempts} == {commit}


def test_the_same_grid_stored_in_a_bucket_gives_the_same_table(up):
    storage = f"s3://{BUCKET}/grids"
    done = up.on_laptop(f"{SUBMIT} -- {GRID} --storage {storage}", seconds=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    copy = up.shared / "copy"
    fetch = f"import fsspec; fsspec.filesystem('s3').get('{storage}/demo', '{copy}/', recursive=True)"
    done = up.on_laptop(f'python -c "{fetch}"')
    assert done.returncode == 0, done.stderr
    (fetched,) = {path.parents[1] for path in copy.rglob("result.json")}
    assert outcomes(fetched) == outcomes(up.shared / "demo")
    for study in (up.shared / "demo", storage + "/demo"):
        name = "s3" if str(study).startswith("s3") else "folder"
        done = up.on_laptop(f"python analysis/summarize.py {study} --out {up.shared}/summary-{name}")
        assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = (tables(up.shared / f"summary-{name}") for name in ("folder", "s3"))
    assert ours
    assert ours == theirs


def outcomes(study: Path) -> dict[str, tuple[bytes, dict]]:
    """Return for each run the numbers that must be equal to the last bit."""
    found = {}
    for path in results(study):
        result = read(path)
        for timing in ("train_seconds", "evaluate_seconds", "sha256"):
            del result[timing]
        found[path.parent.name] = ((path.parent / "metrics.jsonl").read_bytes(), result)
    assert len(found) == RUNS
    return found


def tables(summary: Path) -> dict[str, str]:
    """Return the files of the tables, which depend only on the runs."""
    return {path.name: path.read_text() for path in summary.glob("table*") if path.is_file()}


def test_a_sweep_that_is_stopped_by_ray_job_stop_saves(up):
    command = f"{SUBMIT} --no-wait --submission-id stopped -- {GRID} --storage {up.shared} --study stopped"
    assert up.on_laptop(f"{command} --set max_epochs=1000").returncode == 0
    assert wait_until(lambda: list((up.shared / "stopped").glob("*/checkpoint.pt")), seconds=200)
    assert up.on_laptop("ray job stop stopped").returncode == 0
    assert "resume with: " in up.on_laptop("ray job logs stopped").stdout


def test_the_token_is_only_in_its_file(up):
    token = up.token.encode()
    for host in (up.head, up.workers[1], up.laptop):
        found = subprocess.run(
            ["grep", "-rlF", up.token, str(host.folder), "--exclude-dir=.pyenv", "--devices=skip"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert found.stdout.split() == [str(host.home / ".ray" / "auth_token")]
        assert token.decode() not in host.run("ps -eo args=").stdout
    assert subprocess.run(["grep", "-rqF", up.token, str(up.shared)], check=False).returncode == 1


def test_ray_down_leaves_no_process_behind(up):
    assert up.laptop.run("kill -TERM -- -$(cat /tmp/dashboard.pid)").returncode == 0
    done = up.on_laptop(f"ray down -y {FILE}", seconds=200)
    assert done.returncode == 0, done.stdout + done.stderr
    for host in (up.head, up.workers[1]):
        stopped = wait_until(lambda host=host: host.processes() == [], seconds=240)
        assert stopped, f"{host.address}: {host.processes()}\n{done.stdout[-4000:]}{done.stderr[-2000:]}"


def test_hosts_leave_nothing_behind():
    with network() as net:
        host = net.add(7)
        host.start()
        host.run("nohup sleep 12345 > /dev/null 2>&1 &")
        assert host.processes() == ["sleep 12345"]
        name, folder = net.name, net.folder
    for place in ("netns list", "link show"):
        shown = subprocess.run(["ip", *place.split()], capture_output=True, text=True, check=True).stdout
        assert name not in shown
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", "sleep 12345"], check=False).returncode == 1
