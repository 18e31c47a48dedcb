"""Signals that wait, or are ignored, while something is done."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from sweeps.cluster.signals import hangup_ignored, signals_deferred


def test_a_child_that_was_started_meanwhile_survives_a_hangup() -> None:
    with hangup_ignored():
        child = subprocess.Popen(["/bin/sleep", "60"])
    with child:
        os.kill(child.pid, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.kill()
    assert signal.getsignal(signal.SIGHUP) != signal.SIG_IGN


def test_a_signal_takes_effect_after_what_must_not_be_interrupted() -> None:
    steps = []

    def work() -> None:
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("undisturbed")
        steps.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["undisturbed"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_waits_no_longer_than_it_should() -> None:
    steps = []

    def work() -> None:
        with signals_deferred(0.0):
            time.sleep(0.01)
            signal.raise_signal(signal.SIGINT)
            steps.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == []


def test_a_signal_that_is_ignored_stays_so_while_others_wait() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_deferred():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
