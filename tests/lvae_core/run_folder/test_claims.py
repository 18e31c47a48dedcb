"""Claims: one process at a time trains a run, tested with real processes, kills and foreign claims."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvae_core.run_folder import claims
from lvae_core.run_folder.claims import (
    STALE_SECONDS,
    Claim,
    ClaimLostError,
    ClaimState,
    HeldError,
    Holder,
    StaleClaims,
    acquire,
    acquire_patiently,
    read_claim,
)
from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.folder import RunFolder

from .. import tiny

FAR = Holder(launch="theirs", host="far", machine="boot pid:[1]", pid=1, started="1")

HOLD = """
import sys, time
from lvae_core.run_folder.claims import HeldError, acquire
from lvae_core.run_folder.study import Study
place, name, launch = sys.argv[1:]
sys.stdin.readline()
try:
    claim = acquire(Study(place).run(name), launch)
except HeldError as error:
    print("held", flush=True)
else:
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return tiny.folder(tmp_path)


@pytest.fixture
def others(tmp_path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(place: Path, launch: str) -> subprocess.Popen[str]:
    """Start a process that claims the run when it receives a line, and keeps the claim."""
    command = [sys.executable, "-c", HOLD, str(place), "run", launch]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def claim_now(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def write_claim(folder: RunFolder, number: int, holder: Holder = FAR, beat: int = 0) -> None:
    content = {**dataclasses.asdict(holder), "beat": beat}
    folder.store.write(f"{folder.name}/claim-{number}.json", seal(content))


def files(folder: RunFolder) -> list[str]:
    return folder.store.names(folder.name)


def assert_takes_over(claim: Claim, folder: RunFolder, launch: str) -> None:
    """Check that ``claim`` is the second one of a folder and in force; its release removes both files."""
    assert files(folder) == ["claim-1.json", "claim-2.json"]
    assert read_claim(folder) == ClaimState(2, 0, Holder.current(launch))
    claim.check()
    claim.release()
    assert files(folder) == []


def test_a_claim_names_its_holder_and_is_deleted_on_release(folder):
    with acquire(folder, "mine") as claim:
        claim.check()
        seen = read_claim(folder)
        assert seen == ClaimState(1, 0, Holder.current("mine"))
        assert seen.holder.pid == os.getpid()
        assert not seen.holder.is_gone()
    assert files(folder) == []
    assert read_claim(folder) is None


def test_the_claim_of_a_live_process_holds_and_of_a_killed_one_is_free_at_once(folder, tmp_path, others):
    others.append(other := start(tmp_path, "theirs"))
    assert claim_now(other) == "mine"
    with pytest.raises(HeldError, match=f"under way in process {other.pid} on ") as caught:
        acquire(folder, "mine")
    assert not StaleClaims().is_stale("run", caught.value.state)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert StaleClaims().is_stale("run", caught.value.state)
    with acquire(folder, "mine"):
        assert files(folder) == ["claim-1.json", "claim-2.json"]
    assert files(folder) == []


def test_a_zombie_counts_as_ended(folder, tmp_path, others):
    others.append(other := start(tmp_path, "theirs"))
    assert claim_now(other) == "mine"
    os.kill(other.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while not read_claim(folder).holder.is_gone():  # a zombie: wait() has not been called
        assert time.monotonic() < until
        time.sleep(0.01)
    acquire(folder, "mine").release()


def test_only_one_of_several_concurrent_processes_gets_the_claim(folder, tmp_path, others):
    others += [start(tmp_path, f"launch-{n}") for n in range(6)]
    for process in others:  # all have done their imports and wait for a line
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in others]
    assert sorted(answers) == ["held"] * 5 + ["mine"]


def test_only_one_of_several_processes_takes_over_a_claim(folder, tmp_path, others):
    write_claim(folder, 3, dataclasses.replace(Holder.current("old"), started="0"))
    others += [start(tmp_path, f"launch-{n}") for n in range(5)]
    for process in others:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in others]
    assert sorted(answers) == ["held"] * 4 + ["mine"]
    assert files(folder) == ["claim-3.json", "claim-4.json"]


def test_a_later_process_with_the_same_pid_is_not_the_holder(folder):
    write_claim(folder, 1, dataclasses.replace(Holder.current("old"), started="12345"))
    assert_takes_over(acquire(folder, "mine"), folder, "mine")


def test_the_claim_of_a_process_on_another_machine_holds(folder):
    write_claim(folder, 1, dataclasses.replace(FAR, pid=2**22 + 1))  # no such process here
    with pytest.raises(HeldError, match="process 4194305 on far"):
        acquire(folder, "mine")


def test_a_claim_copied_with_its_folder_does_not_hold(folder, tmp_path):
    with acquire(folder, "mine"):
        copy = tiny.folder(tmp_path, "copy")
        copy.store.write("copy/claim-1.json", folder.store.read("run/claim-1.json"))
        assert_takes_over(acquire(copy, "other"), copy, "other")
        with pytest.raises(HeldError):
            acquire(folder, "other")


def test_an_attempt_of_the_same_launch_takes_over_and_the_former_holder_stops_writing(folder):
    write_claim(folder, 1, dataclasses.replace(FAR, launch="mine"))
    with acquire(folder, "mine") as former:
        assert files(folder) == ["claim-1.json", "claim-2.json"]
        write_claim(folder, 3, FAR)  # another process believes that this one has ended
        with pytest.raises(ClaimLostError, match="taken over"):
            former.check()
        before = folder.store.read("run/claim-2.json")
        former.check_and_renew()
        assert folder.store.read("run/claim-2.json") == before
    assert files(folder) == ["claim-3.json"], "another holder's claim is not released"


def test_a_former_holder_has_lost_its_claim_even_if_its_successor_has_released_the_run(folder):
    with acquire(folder, "mine") as former:
        write_claim(folder, 2, FAR)
        for number in (1, 2):  # as the other process does when it has finished
            folder.store.delete(f"run/claim-{number}.json")
        with pytest.raises(ClaimLostError):
            former.check()
        former.check_and_renew()
        assert files(folder) == []


def test_a_former_holder_leaves_the_claim_that_has_got_its_number(folder):
    with acquire(folder, "mine") as former:
        write_claim(folder, 1, FAR, beat=5)
        held = folder.store.read("run/claim-1.json")
        with pytest.raises(ClaimLostError):
            former.check()
        former.check_and_renew()
    assert folder.store.read("run/claim-1.json") == held


def test_two_claims_of_one_process_are_told_apart(folder):
    with acquire(folder, "mine") as former:
        folder.store.delete("run/claim-1.json")
        with acquire(folder, "mine") as later:
            with pytest.raises(ClaimLostError):
                former.check()
            former.release()
            later.check()
            assert files(folder) == ["claim-1.json"]
    assert files(folder) == []


def test_a_claim_whose_file_is_damaged_is_kept_and_mended(folder):
    with acquire(folder, "mine") as claim:
        folder.store.write("run/claim-1.json", b"{")
        claim.check()
        claim.check_and_renew()
        assert read_claim(folder) == ClaimState(1, 0, Holder.current("mine"))


def test_a_claim_covers_every_path_to_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with acquire(tiny.folder(tmp_path / "real"), "mine"), pytest.raises(HeldError):
        acquire(tiny.folder(tmp_path / "link"), "other")


def test_of_two_threads_only_one_gets_the_claim(folder, monkeypatch):
    refused: list[HeldError] = []
    create = folder.create_json

    def compete() -> None:
        try:
            acquire(tiny.folder(folder.store.url), "other")
        except HeldError as error:
            refused.append(error)

    other = threading.Thread(target=compete)

    def create_and_dawdle(*arguments) -> bool:
        created = create(*arguments)
        other.start()  # it finds the file of a claim that is not known to be held yet
        other.join(0.5)
        return created

    monkeypatch.setattr(folder, "create_json", create_and_dawdle)
    with acquire(folder, "mine") as claim:
        other.join()
        claim.check()
    assert len(refused) == 1


def test_a_claim_known_to_be_stale_is_taken_over_unless_it_was_renewed(folder):
    write_claim(folder, 1, beat=7)
    gone = read_claim(folder)
    assert gone is not None
    write_claim(folder, 1, beat=8)
    with pytest.raises(HeldError):
        acquire(folder, "mine", stale=gone)
    write_claim(folder, 1, beat=7)
    assert_takes_over(acquire(folder, "mine", stale=gone), folder, "mine")


@pytest.mark.parametrize("beats", [True, False])
def test_acquiring_patiently_waits_to_see_whether_the_claim_is_renewed(folder, beats):
    write_claim(folder, 1)
    said: list[str] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if beats:
            write_claim(folder, 1, beat=1)

    if beats:
        with pytest.raises(HeldError, match="process 1 on far"):
            acquire_patiently(folder, "mine", said.append, sleep)
    else:
        assert_takes_over(acquire_patiently(folder, "mine", said.append, sleep), folder, "mine")
    assert slept == [STALE_SECONDS]
    assert len(said) == 1
    assert said[0].endswith(
        f"under way in process 1 on far; waiting {STALE_SECONDS:g} s to see whether it is alive"
    )


def test_a_damaged_claim_holds_until_it_is_stale(folder):
    write_claim(folder, 1)
    folder.store.write("run/claim-1.json", b"{")
    with pytest.raises(HeldError, match="an unknown process") as caught:
        acquire(folder, "mine")
    assert_takes_over(acquire(folder, "mine", stale=caught.value.state), folder, "mine")


@pytest.mark.parametrize(("field", "value"), [("pid", "é"), ("pid", 2.5), ("pid", True), ("started", None)])
def test_a_claim_with_a_value_of_another_type_is_a_damaged_one(folder, field, value):
    holder = {**dataclasses.asdict(Holder.current("theirs")), field: value}
    folder.write_json("claim-1.json", {**holder, "beat": 3})
    state = read_claim(folder)
    assert state == ClaimState(1, -1, None)
    assert not state.is_abandoned
    assert_takes_over(acquire(folder, "mine", stale=state), folder, "mine")


def test_a_claim_is_stale_after_it_has_not_changed_for_a_while():
    now = [0.0]
    stale_claims = StaleClaims(lambda: now[0])
    one, two = (ClaimState(1, beat, FAR) for beat in (1, 2))
    assert not stale_claims.is_stale("a", one)
    now[0] = STALE_SECONDS - 1
    assert not stale_claims.is_stale("a", one)
    assert not stale_claims.is_stale("a", two), "it was renewed"
    now[0] = 2 * STALE_SECONDS - 2
    assert not stale_claims.is_stale("a", two)
    assert not stale_claims.is_stale("b", two), "another run was not observed before"
    now[0] += 1
    assert stale_claims.is_stale("a", two)


def test_a_held_claim_is_renewed_by_itself(folder, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with acquire(folder, "mine"):
        until = time.monotonic() + 30
        while read_claim(folder).beat < 3:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_releasing_a_claim_without_a_store_raises_nothing(folder, monkeypatch):
    claim = acquire(folder, "mine")

    def fail(*_):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(folder.store, "names", fail)
        claim.release()
    assert files(folder) == ["claim-1.json"], "it was left behind"
    assert_takes_over(acquire(folder, "other"), folder, "other")
