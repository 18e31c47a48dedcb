"""Points within epochs: where they lie, their numbers, and that stops and kills change none of them."""

import shutil
import time
from dataclasses import replace
from itertools import pairwise

import psutil
import pytest
import torch

from lvae_core.run_folder.digests import unseal_rows
from lvae_core.run_folder.folder import DamagedError
from lvae_core.training.optimisation.learning_rate import RateState
from lvae_core.training.process_usage import ProcessUsage
from lvae_core.training.runtime import Runtime
from lvae_core.training.state import TrainState
from lvae_core.training.step_log import StepLog
from lvae_core.training.trainer import execute

from ...logs import expect_log
from .. import tiny
from .runs import CORPUS, OFTEN, run, short

MEASURED = {"tokens_per_second", "cpu_percent", "memory_mib", "gpu_percent", "gpu_memory_mib"}


def reproducible(rows):
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


@pytest.mark.parametrize("runtime", [OFTEN, Runtime()], ids=["read at each step", "read at epochs' ends"])
def test_points_add_up_to_the_epoch_and_have_the_rates_of_their_step(runtime, tmp_path):
    config = short(kl_anneal_epochs=2.0)
    folder = tiny.folder(tmp_path)
    run(config, folder, runtime=runtime)
    metrics, points = folder.read_metrics(), folder.read_steps()
    batches = metrics[0]["step"]
    assert batches > 1
    assert [point["step"] for point in points] == list(range(1, 3 * batches + 1))
    for point in points:
        assert point["epoch"] == pytest.approx(point["step"] / batches, abs=1e-4)
        # β as the step used it, counted from 0.
        assert point["kl_weight"] == pytest.approx(min(1.0, (point["step"] - 1) / (2 * batches)))
        assert point["tokens_per_second"] > 0
        assert point["cpu_percent"] > 0
    for number, row in enumerate(metrics):
        of_epoch = points[number * batches : (number + 1) * batches]
        assert {point["learning_rate"] for point in of_epoch} == {row["learning_rate"]}
        ends = [0, *(point["sums"][2] for point in of_epoch)]
        counts = [end - start for start, end in pairwise(ends)]
        assert sum(counts) == len(CORPUS.train)
        for name, mean in (("loss", "train_loss"), ("kl", "train_kl")):
            total = sum(count * point[name] for count, point in zip(counts, of_epoch, strict=True))
            assert total / sum(counts) == pytest.approx(row[mean])


def test_a_language_model_has_no_kl(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short("lstm-lm"), folder)
    assert {"kl", "kl_weight"} & set(folder.read_steps()[0]) == set()


def test_stops_and_kills_anywhere_change_no_point_and_double_none(tmp_path):
    config = short(max_epochs=2)
    whole = tiny.folder(tmp_path, "whole")
    yields = len(run(config, whole))
    expected = reproducible(whole.read_steps())
    for number in range(1, yields, 3):
        folder = tiny.folder(tmp_path, f"stopped-{number}")
        attempt = execute(config, CORPUS, folder, OFTEN)
        for _ in range(number):
            next(attempt)
        # A kill leaves the files of this moment, without the claim, which would be stale.
        killed = tiny.folder(tmp_path, f"killed-{number}")
        left_out = shutil.ignore_patterns("claim-*")
        shutil.copytree(tmp_path / folder.name, tmp_path / killed.name, ignore=left_out)
        attempt.close()
        for resumed in (folder, killed):
            run(config, resumed)
            assert reproducible(resumed.read_steps()) == expected
            assert resumed.read_metrics() == whole.read_metrics()


def test_a_damaged_log_is_set_aside_and_the_points_keep_their_places(tmp_path):
    config = short()
    whole, folder = tiny.folder(tmp_path, "whole"), tiny.folder(tmp_path, "damaged")
    run(config, whole)
    attempt = execute(config, CORPUS, folder, OFTEN)
    while not next(attempt).metrics:
        pass
    next(attempt)
    attempt.close()
    known = len(folder.read_steps())
    folder.write_steps(b'{"step": 1}\n')
    with pytest.raises(DamagedError, match=r"steps\.jsonl: damaged"):
        folder.read_steps()
    with expect_log("lvae.run_folder", "steps.jsonl: damaged"):
        run(config, folder)
    points, expected = folder.read_steps(), whole.read_steps()
    assert points[:known] == [{key: row[key] for key in ("epoch", "step")} for row in expected[:known]]
    assert [row["step"] for row in points] == [row["step"] for row in expected]
    assert folder.read_metrics() == whole.read_metrics()


class OnDevice:
    """Sums that nobody may look at yet."""

    def __getattr__(self, name):
        raise AssertionError(f"a step waits for the device: {name}")


@pytest.mark.parametrize(
    ("batches", "epochs", "interval"),
    [(1, 30, 1), (50, 9, 1), (1315, 30, 40), (1315, 5, 27), (10, 2000, 20)],
)
def test_points_are_few_and_a_step_never_reads_the_loss(batches, epochs, interval):
    state = TrainState("f", {}, {}, RateState(1.0), [])
    log = StepLog(short(max_epochs=epochs), batches, state, [])
    assert log.interval == interval
    assert batches // interval <= 50
    assert epochs * (batches // interval) <= 1000
    state.sums = OnDevice()
    for _ in range(batches):
        state.batch, state.step = state.batch + 1, state.step + 1
        log.note(state, 0.5)


def test_an_epoch_begins_its_own_sums_even_if_they_are_larger():
    state = TrainState("f", {}, {}, RateState(1.0), [])
    log = StepLog(short(), 1, state, [])
    for epoch, total in enumerate((10.0, 90.0)):
        state.epoch, state.batch, state.step = epoch, 1, epoch + 1
        state.sums = torch.tensor([total, 0, 0, 5 * (epoch + 1)], dtype=torch.float64)
        log.note(state, 1.0)
    log.read({"tokens_per_second": 7.0})
    rows = unseal_rows(log.serialised())
    assert [row["loss"] for row in rows] == [2.0, 9.0]
    assert not StepLog(short(), 1, replace(state, epoch=2, batch=0), rows).is_changed


def test_the_load_is_that_of_this_process():
    clock = iter([0.0, 0.5, 0.5, 0.6, 2.0, 2.0])
    usage = ProcessUsage("cpu", now=lambda: next(clock))
    busy = time.process_time()
    while time.process_time() < busy + 0.05:
        pass
    first = usage.read()
    used = time.process_time() - busy
    assert 10.0 <= first["cpu_percent"] <= 100 * used / 0.5 + 1
    assert first["memory_mib"] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.1)
    assert usage.read() is first  # a tenth of a second later
    assert usage.read() is not first
