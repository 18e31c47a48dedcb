"""Ray's limit of 30 seconds to start counts only seconds in which its processes do nothing."""

import time

import pytest
import ray._private.node

from sweeps.cluster.start_clock import LONGEST, StartClock, patient_start


class Machine:
    """Time and work on a simulated machine."""

    seconds = work = 0.0

    def wait(self, clock: StartClock, seconds: float, share: float) -> None:
        """Let time pass while processes take a share of a core."""
        for _ in range(round(seconds)):
            self.seconds += 1.0
            self.work += share
            clock()


def test_the_clock_stands_still_only_while_there_is_progress():
    machine = Machine()
    clock = StartClock(lambda: machine.work, lambda: machine.seconds)
    begun = clock()
    machine.wait(clock, 100, share=0.1)
    assert clock() - begun == pytest.approx(0.0)
    machine.wait(clock, 30, share=0.005)
    assert clock() - begun == pytest.approx(30.0)
    machine.work -= 5.0  # a process has ended
    machine.wait(clock, 1, share=0.0)
    assert clock() - begun == pytest.approx(30.0)


def test_the_clock_goes_on_after_some_minutes_of_progress():
    machine = Machine()
    clock = StartClock(lambda: machine.work, lambda: machine.seconds)
    machine.wait(clock, LONGEST + 40, share=1.0)
    assert clock() == pytest.approx(40.0)


def test_an_attempt_that_has_failed_is_over_at_once_and_stays_so():
    machine = Machine()
    clock = StartClock(lambda: machine.work, lambda: machine.seconds)
    begun = clock()
    machine.wait(clock, 10, share=1.0)
    assert clock() - begun == pytest.approx(0.0)
    clock.expire()
    assert clock() - begun > 1000
    machine.wait(clock, 3, share=1.0)
    begun = clock()
    assert clock() - begun > 1000, "a wait that begins later is over, too"


def test_only_ray_that_is_being_started_sees_the_clock():
    with patient_start(lambda: 7.0):
        assert ray._private.node.time.monotonic() == 7.0
        assert ray._private.node.time.sleep is time.sleep
    assert ray._private.node.time is time


def test_the_time_of_processes_of_this_machine_is_read():
    clock = StartClock()
    assert clock() <= time.monotonic()
