"""A store that retries loses nothing on an S3 server that fails at random or for a while.

The server is real, behind a proxy that refuses, delays, drops and cuts. The expected results come from a
dictionary on which the tests perform the same operations.
"""

import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import open_store

from ..commands import python
from ..logs import expect_log

SEED = 2019


@pytest.fixture
def patient(s3, monkeypatch) -> RetryingStore:
    """A store whose S3 client times out soon and never retries, so that every retry is the store's."""
    config = {"read_timeout": 2, "retries": {"mode": "standard", "total_max_attempts": 1}}
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": config})
    return RetryingStore(open_store(f"{s3.url}/root"), 60.0, pause=0.01, longest_pause=0.1)


def random_operations(patient: RetryingStore, dice: random.Random, operations: int) -> dict[str, bytes]:
    """Do random operations, compare each answer with a dictionary, and return the dictionary."""
    truth: dict[str, bytes] = {}
    aside = 0
    for k in range(operations):
        path, data = f"run/{dice.choice('abc')}", b"%d" % k * dice.randrange(1, 20_000)
        operation = dice.choice(["read", "write", "create", "exists", "names", "rename", "delete"])
        if operation == "read":
            if path in truth:
                assert patient.read(path) == truth[path], k
            else:
                with pytest.raises(FileNotFoundError):
                    patient.read(path)
        elif operation == "write":
            patient.write(path, data)
            truth[path] = data
        elif operation == "create":
            assert patient.create(path, data) is (path not in truth), k
            truth.setdefault(path, data)
        elif operation == "exists":
            assert patient.exists(path) is (path in truth), k
        elif operation == "names":
            assert patient.names("run") == sorted(name.removeprefix("run/") for name in truth), k
        elif operation == "rename":
            aside += 1
            if path in truth:
                patient.rename(path, f"{path}.{aside}")
                truth[f"{path}.{aside}"] = truth.pop(path)
            else:
                with pytest.raises(FileNotFoundError):
                    patient.rename(path, f"{path}.{aside}")
        else:
            patient.delete(path)
            truth.pop(path, None)
    return truth


def check_random_faults(patient: RetryingStore, s3, seed: int, operations: int) -> None:
    share = 0.1
    faults = [
        s3.proxy.fault("refuse", status=503, code="SlowDown", share=share, seed=seed),
        s3.proxy.fault("refuse", status=500, code="InternalError", share=share, seed=seed + 1),
        s3.proxy.fault("drop", share=share, seed=seed + 2),
        s3.proxy.fault("lose", share=share, seed=seed + 3),
        s3.proxy.fault("cut", "GET", "LIST", share=2 * share, seed=seed + 4),
    ]
    with expect_log("lvae.storage", optional=True) as messages:
        truth = random_operations(patient, random.Random(seed), operations)
    s3.proxy.calm()
    assert all(fault.hits for fault in faults)
    assert patient.names("run") == sorted(name.removeprefix("run/") for name in truth)
    for path, data in truth.items():
        assert patient.read(path) == data
    print("seed", seed, [(fault.action, fault.hits) for fault in faults], "messages", len(messages))


def test_a_server_that_fails_at_random_loses_nothing(patient, s3):
    check_random_faults(patient, s3, SEED, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_server_that_fails_at_random_loses_nothing_in_many_trials(patient, s3, seed):
    check_random_faults(patient, s3, seed, 200)


def test_a_request_without_an_answer_is_retried(patient, s3):
    for kind in ("PUT", "GET"):
        s3.proxy.fault("delay", kind, times=1, seconds=4)
    with expect_log("lvae.storage", "Read timeout on endpoint"):
        patient.write("run/a", b"new")
    with expect_log("lvae.storage", "Read timeout on endpoint"):
        assert patient.read("run/a") == b"new"


def test_an_outage_is_retried_and_reported_once(patient, s3):
    patient.write("run/a", b"old")
    fault = s3.proxy.fault("drop", times=12)
    with expect_log("lvae.storage") as messages:
        assert patient.create("run/b", b"new") is True
    assert fault.hits == 12
    assert len(messages) == 1
    assert messages[0].getMessage().startswith(f"{patient.url}/run/b: ConnectionClosedError: ")
    assert patient.names("run") == ["a", "b"]


def test_a_creation_whose_answers_are_lost_succeeds_once(patient, s3):
    patient.exists("run/b")
    s3.proxy.fault("lose", "PUT", times=3)
    with expect_log("lvae.storage"):
        assert patient.create("run/b", b"mine") is True
    assert patient.read("run/b") == b"mine"
    assert patient.create("run/b", b"mine") is False


def test_an_outage_that_does_not_end_is_reported(patient, s3):
    patient.write("run/a", b"old")
    with (
        s3.proxy.down(),
        expect_log("lvae.storage"),
        pytest.raises(OSError, match="; tried again for ") as caught,
    ):
        RetryingStore(patient.store, 1.0).write("run/a", b"new")
    assert "\n" not in str(caught.value)
    assert patient.read("run/a") == b"old"


def test_a_forbidden_request_is_not_retried(patient, s3):
    fault = s3.proxy.fault("refuse", status=403, code="AccessDenied")
    with pytest.raises(PermissionError):
        patient.write("run/a", b"new")
    assert fault.hits == 1


COMPETE = """
import logging, sys
from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import open_store
url, me, rounds = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
logging.getLogger("lvae").setLevel(logging.ERROR)
store = RetryingStore(open_store(url), 60.0, pause=0.01)
store.exists("run")
for k in range(rounds):
    print("ready", flush=True)
    sys.stdin.readline()
    print(store.create(f"run/{k}", me * 1000), flush=True)
"""


def test_exactly_one_of_several_processes_creates_an_object_although_answers_are_lost(s3):
    faults = [
        s3.proxy.fault("lose", "PUT", share=0.3, seed=SEED),
        s3.proxy.fault("drop", "PUT", share=0.1, seed=SEED + 1),
        s3.proxy.fault("refuse", share=0.1, seed=SEED + 2),
    ]
    url, rounds, names = f"{s3.url}/root", 12, "abc"
    processes = [
        subprocess.Popen(
            [*python(), "-c", COMPETE, url, me, str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **s3.environment},
        )
        for me in names
    ]
    winners = []
    try:
        for _ in range(rounds):
            assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(names)
            for process in processes:
                process.stdin.write("go\n")
            answers = [process.stdout.readline() for process in processes]
            assert sorted(answers) == ["False\n", "False\n", "True\n"]
            winners.append(names[answers.index("True\n")])
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    s3.proxy.calm()
    assert all(fault.hits for fault in faults)
    store = open_store(url)
    for k, winner in enumerate(winners):
        assert store.read(f"run/{k}") == winner.encode() * 1000
    print("winners", winners, [(fault.action, fault.hits) for fault in faults])


def test_many_writers_during_faults_leave_whole_objects(patient, s3):
    s3.proxy.fault("lose", "PUT", share=0.2)
    s3.proxy.fault("drop", "PUT", share=0.2)

    def write(me: int) -> None:
        for k in range(10):
            patient.write("run/a", bytes([me]) * (50_000 + me * 1000 + k))

    with expect_log("lvae.storage", optional=True), ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    s3.proxy.calm()
    data = patient.read("run/a")
    assert data == bytes([data[0]]) * (50_000 + data[0] * 1000 + 9), "the last object of one of the writers"
