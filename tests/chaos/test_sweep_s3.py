"""A study on a real S3 server that fails at random: planned, run, killed, resumed and summarized."""

import csv
import json
import os
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.planning.run_lookup import make_plan

from ..commands import python
from ..integration.nodes import ROOT
from ..logs import expect_log
from .faults import S3
from .short_grid import ARGUMENTS, SHORT
from .sweep_command import Launch, Runs, closing, wait_until

SEED = 2019


def inject_faults(s3: S3, share: float, seed: int) -> list:
    """Make requests fail in several ways, each with about this probability, until the test ends."""
    return [
        s3.proxy.fault("refuse", status=500, code="InternalError", share=share, seed=seed),
        s3.proxy.fault("refuse", status=503, code="SlowDown", share=share, seed=seed + 1),
        s3.proxy.fault("lose", "PUT", "COPY", "DELETE", share=share, seed=seed + 2),
        s3.proxy.fault("drop", share=share, seed=seed + 3),
        s3.proxy.fault("cut", "GET", "LIST", share=share, seed=seed + 4),
        # A request that the client has retried after a time-out arrives late, perhaps on newer content.
        s3.proxy.fault("delay", "GET", "PUT", share=share / 3, seconds=4.0, seed=seed + 5),
    ]


def short_timeout(s3: S3) -> dict[str, str]:
    """Return an environment in which requests time out after two seconds."""
    return {**s3.environment, "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": 2}})}


def checkpoints(s3: S3) -> Counter[str]:
    """Return how often each run's checkpoint has been written."""
    keys = [r.key.split("/") for r in s3.proxy.requests("PUT") if r.key.endswith("/checkpoint.pt")]
    return Counter(name for *_, name, _ in keys)


def summarize(study: str | Path, out: Path, environment: dict[str, str]) -> list[dict[str, str]]:
    """Summarize a study by the command and return the rows of its table."""
    command = [*python(), str(ROOT / "analysis" / "summarize.py"), str(study), "--out", str(out)]
    options = ["--no-cache", "--no-figures", "--no-samples"]
    done = subprocess.run(
        [*command, *options], env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    with (out / "table2.csv").open() as file:
        return list(csv.DictReader(file))


def listings(s3: S3) -> Counter[str]:
    """Return the number of answered listings of each prefix."""
    return Counter(request.key for request in s3.proxy.requests("LIST") if request.status == 200)


@pytest.mark.slow
def test_a_study_on_a_server_that_fails_at_random_ends_with_undisturbed_results(
    s3, scratch, tmp_path, undisturbed_storage
):
    faults, environment, study = inject_faults(s3, 0.03, SEED), short_timeout(s3), f"{s3.url}/runs/s"

    def start() -> Launch:
        return Launch(f"{s3.url}/runs", scratch, grid=ARGUMENTS, environment=environment)

    with closing(first := start()):
        wait_until(lambda: len(checkpoints(s3)) >= 2 and max(checkpoints(s3).values()) >= 3, first)
        first.kill()
        with closing(second := start()):
            assert second.wait() == 0, second.output
            assert "Traceback" not in second.output
    s3.proxy.calm()
    # A late request may restore an old file. The next launch detects it by its digest and repairs it.
    with closing(third := start()):
        assert third.wait() == 0, third.output
    table = summarize(study, tmp_path / "summary", environment)
    print("faults", [(fault.action, fault.code, fault.hits) for fault in faults], s3.proxy.counts())
    assert all(fault.hits for fault in faults)
    table_of = Runs(undisturbed_storage).table()
    assert Runs(f"{s3.url}/runs").table() == table_of
    assert table == summarize(undisturbed_storage / "s", tmp_path / "beside", {})
    # Each launch lists the study when it plans, before and after, and retries after a fault. The number of
    # listings does not depend on the number of runs. Each run lists only its folder.
    listed = listings(s3)
    assert listed["runs/s/"] <= 2 * 6
    assert {key.split("/")[2] for key in listed} == {"", *table_of}


@pytest.mark.slow
def test_the_number_of_listings_depends_on_neither_runs_nor_steps(s3, monkeypatch):
    """Each plan lists the study once; listings of a run's folder depend only on its number of writes."""
    toy = load("toy")
    # Heartbeats would add listings at random times.
    monkeypatch.setattr("lvae_core.run_folder.claims.HEARTBEAT_SECONDS", 1e6)

    def listed(name: str, seeds: int, batch_size: int) -> tuple[int, set[int]]:
        changes = ("max_epochs=2", f"batch_size={batch_size}")
        grid = replace(SHORT, systems={"lstm-lm": (1,)}, seeds=seeds, changes=changes)
        study = Study(f"{s3.url}/{name}")
        s3.proxy.forget()
        plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study, evaluate=True)
        for run in plan.runs:
            for _ in execute(run.config, toy, study.run(run.name), Runtime(threads=1)):
                pass
        plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study, evaluate=True)
        assert len(plan.with_status("done")) == seeds
        found = Counter(key.split("/")[1] for key in listings(s3).elements())
        of_study = found.pop("")
        assert len(found) == seeds
        return of_study, set(found.values())

    few = listed("few", 1, 32)
    assert few[0] == 2, "one per plan"
    assert listed("more", 4, 32) == few
    assert listed("longer", 1, 4) == few


@pytest.mark.slow  # test_store_outages.py has fast tests of such servers
def test_a_study_is_read_from_a_server_that_fails_and_an_unreachable_server_is_no_damage(
    s3, undisturbed_storage, monkeypatch
):
    here, there = Runs(undisturbed_storage).study, Runs(s3.url).study
    for name in here.run_names():
        for file in ("config.json", "provenance.json", "metrics.jsonl", "result.json"):
            there.store.write(f"{name}/{file}", here.store.read(f"{name}/{file}"))
    s3.proxy.fault("refuse", status=500, code="InternalError", share=0.5, seed=SEED)
    with expect_log("lvae.storage", optional=True):
        found = collect([open_source(there.url)])
    assert (list(found.frame["status"]), found.problems) == (["done"] * 4, ())
    s3.proxy.calm()

    monkeypatch.setattr("lvae_core.storage.retrying.RETRY_SECONDS", 0.5)
    source = open_source(there.url)
    with s3.proxy.down(), expect_log("lvae.storage"), pytest.raises(InputError) as caught:
        collect([source])
    assert re.fullmatch(rf"{there.url}/toy__\S+: cannot be read \(.*\)", str(caught.value))
