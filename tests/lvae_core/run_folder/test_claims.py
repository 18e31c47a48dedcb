"""One process at a time on a run: real processes, real kills, and claims of machines that are not ours."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvae_core.run_folder import claims
from lvae_core.run_folder.claims import (
    STALE_SECONDS,
    ClaimLostError,
    ClaimState,
    HeldError,
    Holder,
    Pulse,
    acquire,
    acquire_patiently,
    look,
)
from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.folder import RunFolder

from .. import tiny

FAR = Holder(launch="theirs", host="far", machine="boot pid:[1]", pid=1, started="1")

HOLD = """
import sys, time
from lvae_core.run_folder.claims import HeldError, acquire
from lvae_core.run_folder.folder import Study
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
    """A process that claims the run when it is sent a line, and holds it."""
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


def test_a_claim_says_who_holds_it_and_goes_with_its_release(folder):
    with acquire(folder, "mine") as claim:
        claim.check()
        seen = look(folder)
        assert seen == ClaimState(1, 0, Holder.current("mine"))
        assert seen.holder.pid == os.getpid()
        assert not seen.holder.is_gone()
    assert files(folder) == []
    assert look(folder) is None


def test_a_living_process_keeps_its_claim_and_a_killed_one_loses_it_at_once(folder, tmp_path, others):
    others.append(other := start(tmp_path, "theirs"))
    assert claim_now(other) == "mine"
    with pytest.raises(HeldError, match=f"under way in process {other.pid} on ") as caught:
        acquire(folder, "mine")
    assert not Pulse().is_stale("run", caught.value.state)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert Pulse().is_stale("run", caught.value.state)
    with acquire(folder, "mine"):
        assert files(folder) == ["claim-1.json", "claim-2.json"]
    assert files(folder) == []


def test_a_killed_process_that_nobody_has_waited_for_is_gone_too(folder, tmp_path, others):
    others.append(other := start(tmp_path, "theirs"))
    assert claim_now(other) == "mine"
    os.kill(other.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while not look(folder).holder.is_gone():  # a zombie: wait() has not been called
        assert time.monotonic() < until
        time.sleep(0.01)
    acquire(folder, "mine").release()


def test_of_many_that_claim_at_once_one_gets_it(folder, tmp_path, others):
    others += [start(tmp_path, f"launch-{n}") for n in range(6)]
    for process in others:  # all are past their imports and wait for the word
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in others]
    assert sorted(answers) == ["held"] * 5 + ["mine"]


def test_of_many_that_take_over_one_gets_it(folder, tmp_path, others):
    write_claim(folder, 3, dataclasses.replace(Holder.current("old"), started="0"))
    others += [start(tmp_path, f"launch-{n}") for n in range(5)]
    for process in others:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in others]
    assert sorted(answers) == ["held"] * 4 + ["mine"]
    assert files(folder) == ["claim-3.json", "claim-4.json"]


def test_a_process_number_that_has_been_given_again_is_not_the_holder(folder):
    write_claim(folder, 1, dataclasses.replace(Holder.current("old"), started="12345"))
    acquire(folder, "mine").release()


def test_of_a_process_on_another_machine_nothing_is_known(folder):
    write_claim(folder, 1, dataclasses.replace(FAR, pid=2**22 + 1))  # no such process here
    with pytest.raises(HeldError, match="process 4194305 on far"):
        acquire(folder, "mine")


def test_a_claim_copied_with_its_folder_is_nobodys(folder, tmp_path):
    with acquire(folder, "mine"):
        copy = tiny.folder(tmp_path, "copy")
        copy.store.write("copy/claim-1.json", folder.store.read("run/claim-1.json"))
        acquire(copy, "other").release()
        with pytest.raises(HeldError):
            acquire(folder, "other")


def test_an_attempt_of_the_same_launch_takes_over_and_the_former_one_lets_go(folder):
    write_claim(folder, 1, dataclasses.replace(FAR, launch="mine"))
    with acquire(folder, "mine") as former:
        assert files(folder) == ["claim-1.json", "claim-2.json"]
        write_claim(folder, 3, FAR)  # somebody thinks that we are dead
        with pytest.raises(ClaimLostError, match="taken over"):
            former.check()
        before = folder.store.read("run/claim-2.json")
        former.check_and_beat()
        assert folder.store.read("run/claim-2.json") == before
    assert files(folder) == ["claim-3.json"], "what another holds is not released"


def test_what_is_known_to_be_gone_is_taken_over_unless_it_moves(folder):
    write_claim(folder, 1, beat=7)
    gone = look(folder)
    assert gone is not None
    write_claim(folder, 1, beat=8)
    with pytest.raises(HeldError):
        acquire(folder, "mine", gone=gone)
    write_claim(folder, 1, beat=7)
    acquire(folder, "mine", gone=gone).release()


@pytest.mark.parametrize("beats", [True, False])
def test_patience_is_a_look_some_time_later(folder, beats):
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
        acquire_patiently(folder, "mine", said.append, sleep).release()
    assert slept == [STALE_SECONDS]
    assert len(said) == 1
    assert said[0].endswith(
        f"under way in process 1 on far; waiting {STALE_SECONDS:g} s for a sign of life"
    )


def test_a_damaged_claim_is_somebodys_until_it_stands_still(folder):
    write_claim(folder, 1)
    folder.store.write("run/claim-1.json", b"{")
    with pytest.raises(HeldError, match="an unknown process") as caught:
        acquire(folder, "mine")
    acquire(folder, "mine", gone=caught.value.state).release()


def test_a_claim_stands_still_when_the_same_is_seen_for_long():
    time_is = [0.0]
    pulse = Pulse(lambda: time_is[0])
    one, two = (ClaimState(1, beat, FAR) for beat in (1, 2))
    assert not pulse.is_stale("a", one)
    time_is[0] = STALE_SECONDS - 1
    assert not pulse.is_stale("a", one)
    assert not pulse.is_stale("a", two), "it beats"
    time_is[0] = 2 * STALE_SECONDS - 2
    assert not pulse.is_stale("a", two)
    assert not pulse.is_stale("b", two), "another run was not looked at before"
    time_is[0] += 1
    assert pulse.is_stale("a", two)


def test_the_heart_beats(folder, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with acquire(folder, "mine"):
        until = time.monotonic() + 30
        while look(folder).beat < 3:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_release_without_a_store_is_quiet(folder, monkeypatch):
    claim = acquire(folder, "mine")

    def fail(*_):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(folder.store, "names", fail)
        claim.release()
    acquire(folder, "other").release()  # left behind by this very process
