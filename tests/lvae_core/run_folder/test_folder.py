"""The run folder: absent and damaged files, failure counts, whether it can be written."""

import concurrent.futures
import hashlib
import math
import multiprocessing
import os

import pytest

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import TIMING_FIELDS, DamagedError, RunFolder, reproducible
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study, open_study
from lvae_core.storage.store import open_store

HEX = fingerprint(RunConfig(), "d" * 64)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(open_store(tmp_path), "run")


def test_a_study_lists_its_runs_and_ignores_other_files(tmp_path):
    study = Study(str(tmp_path / "study"))
    assert study.run_names() == []
    names = []
    for dataset in ("a.b", "ptb", "x_1"):
        for seed in (10, 2):
            name = run_name(RunConfig(dataset=dataset, seed=seed), HEX)
            study.run(name).write_json("config.json", {"seed": seed})
            names.append(name)
    study.store.write("notes.txt", b"mine")
    study.store.write("old/config.json", b"{}")
    assert study.run_names() == sorted(names)
    assert study.run(names[0]).read_json("config.json") == {"seed": 10}


def test_only_the_timing_fields_are_not_reproducible():
    result = {"estimates": {"nll": 1.0}, "train_seconds": 1.0, "evaluate_seconds": 2.0, "steps": 3}
    assert reproducible(result) == {"estimates": {"nll": 1.0}, "steps": 3}
    assert set(TIMING_FIELDS) == {"train_seconds", "evaluate_seconds"}


def test_absent_files_are_not_damaged(folder):
    assert folder.read_json("result.json") is None
    assert folder.read_metrics() == []
    assert folder.read_checkpoint() is None
    assert not folder.has("result.json")


def test_values_are_read_back_with_every_digit(folder):
    value = {"a": 0.1 + 0.2, "b": 1e-300, "c": [1, None, True, "é\n"], "d": math.pi}
    folder.write_json("result.json", value)
    assert folder.read_json("result.json") == value
    assert folder.has("result.json")
    rows = [value, value | {"a": 2**53 + 1}]
    folder.write_metrics(rows)
    assert folder.read_metrics() == rows
    assert folder.store.read("run/metrics.jsonl").count(b"\n") == 2


def test_nan_and_infinity_are_refused_and_nothing_is_written(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("result.json", {"a": math.inf})
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_metrics([{"a": math.nan}])
    assert folder.store.names("run") == []


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"3", b"null", b"\xff\xfe", b'{"a": 1}{', b"\x00" * 50]
)
@pytest.mark.parametrize("file", ["result.json", "config.json"])
def test_the_error_for_a_damaged_object_names_its_file(folder, file, data):
    folder.store.write(f"run/{file}", data)
    with pytest.raises(DamagedError, match=f"run/{file}: damaged") as caught:
        folder.read_json(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"{}\n{", b"{}\n3\n", b"\xff\n"])
def test_the_error_for_damaged_metrics_names_their_file(folder, data):
    folder.store.write("run/metrics.jsonl", data)
    with pytest.raises(DamagedError, match=r"run/metrics.jsonl: damaged"):
        folder.read_metrics()


def test_metrics_must_match_the_digest_in_the_result(folder):
    rows = [{"epoch": epoch, "a": 0.1 * epoch, "b": "x\ny", "c": None} for epoch in range(3)]
    folder.write_metrics(rows)
    sha256 = hashlib.sha256(folder.store.read("run/metrics.jsonl")).hexdigest()
    assert folder.read_metrics(sha256) == folder.read_metrics() == rows
    folder.write_metrics(rows[:2])  # valid by its own digests, but not the file named by the result
    with pytest.raises(
        DamagedError, match=r"metrics.jsonl: damaged, its SHA-256 is not the one in result.json"
    ):
        folder.read_metrics(sha256)
    folder.store.delete("run/metrics.jsonl")
    with pytest.raises(DamagedError, match=r"run/metrics.jsonl: missing, although the run has a result"):
        folder.read_metrics(sha256)
    folder.store.write("run/metrics.jsonl", b"")
    assert folder.read_metrics(hashlib.sha256(b"").hexdigest()) == []
    folder.store.write("run/metrics.jsonl", b"{}\n3\n")
    with pytest.raises(DamagedError, match="damaged, line 2 is not a JSON object"):
        folder.read_metrics(hashlib.sha256(b"{}\n3\n").hexdigest())


def test_a_checkpoint_is_read_back_as_written(folder):
    payload = os.urandom(1000) + b"\n" + os.urandom(1000)
    folder.write_checkpoint(payload)
    assert folder.read_checkpoint() == payload
    folder.write_checkpoint(b"")
    assert folder.read_checkpoint() == b""


def test_every_flipped_byte_and_every_truncation_of_a_checkpoint_is_detected(folder):
    folder.write_checkpoint(b"some payload\nof two lines")
    whole = folder.store.read("run/checkpoint.pt")
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(len(whole))]
    damaged += [whole + b"\n", b"\n" + whole]
    for data in damaged:
        folder.store.write("run/checkpoint.pt", data)
        with pytest.raises(DamagedError, match=r"run/checkpoint.pt: damaged"):
            folder.read_checkpoint()


def test_setting_aside_never_overwrites_an_earlier_file(folder):
    for expected in ("checkpoint.pt.damaged-1", "checkpoint.pt.damaged-2"):
        folder.store.write("run/checkpoint.pt", expected.encode())
        assert folder.set_aside("checkpoint.pt") == expected
    assert folder.store.names("run") == ["checkpoint.pt.damaged-1", "checkpoint.pt.damaged-2"]
    assert folder.store.read("run/checkpoint.pt.damaged-1") == b"checkpoint.pt.damaged-1"


def test_failures_are_counted_and_cleared(folder):
    folder.write_failure("infrastructure", "node lost", "tail 1")
    folder.write_failure("diverged", "not a number", "tail 2")
    assert folder.read_json("failure.json") == {
        "class": "diverged",
        "attempt": 2,
        "message": "not a number",
        "traceback": "tail 2",
    }
    folder.store.write("run/failure.json", b"{")
    folder.write_failure("code", "m", "t")
    assert folder.read_json("failure.json")["attempt"] == 1
    folder.clear_failure()
    folder.clear_failure()
    assert not folder.has("failure.json")


def test_a_run_folder_works_the_same_on_an_object_store():
    folder = RunFolder(open_store("memory://test-record/study"), "run")
    folder.write_json("result.json", {"a": 1})
    folder.write_checkpoint(b"payload")
    assert folder.read_json("result.json") == {"a": 1}
    assert folder.read_checkpoint() == b"payload"
    folder.store.write("run/checkpoint.pt", b"junk")
    assert folder.set_aside("checkpoint.pt") == "checkpoint.pt.damaged-1"
    assert folder.read_checkpoint() is None
    folder.write_failure("code", "m", "t")
    folder.clear_failure()
    assert folder.store.names("run") == ["checkpoint.pt.damaged-1", "result.json"]


def probe(place: str) -> None:
    for _ in range(20):
        Study(place).check_writable()


def test_several_processes_may_probe_a_study_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        for future in [pool.submit(probe, str(tmp_path / "study")) for _ in range(3)]:
            future.result(timeout=240)
    assert os.listdir(tmp_path / "study") == []


def test_the_error_for_unwritable_storage_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError) as caught:
        Study(str(tmp_path / "file" / "study")).check_writable()
    message = str(caught.value)
    assert f"storage {tmp_path}/file/study: cannot be written" in message
    assert "give another --storage" in message
    assert "\n" not in message


def test_metrics_are_one_canonical_object_per_line(folder):
    folder.write_metrics([{"b": 1, "a": 2.5}])
    digest = hashlib.sha256(b'{"a":2.5,"b":1}').hexdigest()[:16].encode()
    assert folder.store.read("run/metrics.jsonl") == b'{"a":2.5,"b":1,"digest":"%s"}\n' % digest
    assert folder.read_metrics() == [{"a": 2.5, "b": 1}]


def test_an_invalid_attempt_number_restarts_the_count(folder):
    folder.write_json("failure.json", {"class": "code", "attempt": "x", "message": "m"})
    folder.write_failure("code", "again", "")
    assert folder.read_json("failure.json")["attempt"] == 1


def test_endlessly_nested_json_counts_as_damaged(folder):
    folder.store.write(f"{folder.name}/result.json", b"[" * 200_000)
    with pytest.raises(DamagedError, match=r"result\.json: damaged"):
        folder.read_json("result.json")


def test_an_unknown_user_and_an_empty_path_are_refused():
    with pytest.raises(InputError, match="no such user"):
        Study("~nosuchuser-at-all/x")
    with pytest.raises(InputError, match="empty path"):
        Study("")


@pytest.mark.parametrize(("url", "seconds"), [("http://h/a", 5), ("https://h/a", 5), ("s3://b/a", 60)])
def test_the_address_of_a_web_server_is_retried_for_seconds_only(url, seconds):
    assert open_study(url).store.seconds == seconds
