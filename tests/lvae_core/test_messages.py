"""Messages: what commands print at each verbosity, and what collectors receive."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.errors import InputError
from lvae_core.messages import (
    Collector,
    Verbosity,
    first_of,
    is_quiet,
    next_line,
    notice,
    numbered,
    printed,
)

from ..logs import expect_log

ROOT = Path(__file__).resolve().parents[2]
LOG = logging.getLogger("lvae.some.part")


def log_at_every_level() -> None:
    LOG.debug("read %d bytes", 3)
    LOG.info("claimed")
    notice("next: 100% of it")
    with expect_log("lvae.some.part", optional=True):
        LOG.warning("damaged;\nset aside")


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [
        (Verbosity(), ["next: 100% of it", "warning: damaged; set aside"]),
        (Verbosity(quiet=True), []),
        (
            Verbosity(verbose=True),
            [
                "debug: lvae.some.part: read 3 bytes",
                "info: lvae.some.part: claimed",
                "next: 100% of it",
                "warning: damaged; set aside",
            ],
        ),
    ],
)
def test_a_command_prints_one_line_per_message_of_its_verbosity(verbosity, lines, capsys):
    with printed():
        verbosity.apply()
        log_at_every_level()
        assert is_quiet() is verbosity.quiet
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_the_verbosity_of_a_command_ends_with_it(capsys):
    with printed():
        Verbosity(quiet=True).apply()
    assert not is_quiet()
    with printed():
        notice("once")
    assert capsys.readouterr().err == "once\n"


def test_messages_go_to_the_current_standard_error(monkeypatch):
    with printed():
        monkeypatch.setattr(sys, "stderr", display := io.StringIO())
        notice("above the display")
    assert display.getvalue() == "above the display\n"


def test_a_number_of_things_agrees_with_its_noun_and_its_verb():
    assert [numbered(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [numbered(1, "run", verb) for verb in ("is", "repeats")] == ["1 run is", "1 run repeats"]
    verbs = ("is", "was", "has", "repeats")
    assert [numbered(3, "run", verb) for verb in verbs] == [
        f"3 runs {verb}" for verb in ("are", "were", "have", "repeat")
    ]


def test_verbose_and_quiet_exclude_each_other(capsys):
    with pytest.raises(InputError, match="--verbose and --quiet: give one"):
        Verbosity(verbose=True, quiet=True).apply()
    assert main(["describe", "toy", "--verbose", "--quiet"]) == 2
    assert capsys.readouterr().err == "error: --verbose and --quiet: give one of them\n"


def test_programs_that_import_the_core_see_warnings_only():
    script = """
import logging
from lvae_core.messages import notice
log = logging.getLogger("lvae.run_folder")
log.debug("a"), log.info("b"), notice("c"), log.warning("config.json: damaged")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "config.json: damaged\n")


def test_a_collector_receives_the_warnings_of_every_thread_once():
    collector = Collector()
    with expect_log("lvae.some.part"):
        with ThreadPoolExecutor(4) as pool:
            for k in range(100):
                pool.submit(LOG.warning, "%d", k)
        LOG.info("below the level of a warning")
        thread = threading.Thread(target=LOG.warning, args=("last",))
        thread.start()
        thread.join()
    assert sorted(collector.take()) == sorted([*map(str, range(100)), "last"])
    assert collector.take() == []
    collector.close()
    with expect_log("lvae.some.part"):
        LOG.warning("too late")
    assert collector.take() == []


def test_collectors_can_be_closed_in_any_order():
    collectors = [Collector(), Collector()]
    with expect_log("lvae.some.part"):
        LOG.warning("both")
        collectors[0].close()
        LOG.warning("one")
    collectors[1].close()
    assert [collector.take() for collector in collectors] == [["both"], ["both", "one"]]


def test_a_message_names_the_first_few_and_the_number_of_the_others():
    letters = list("abcdefghij")
    assert first_of(letters[:8]) == "a, b, c, d, e, f, g, h"
    assert first_of(letters) == "a, b, c, d, e, f, g, h and 2 more"
    assert first_of(letters, most=1) == "a and 9 more"


def test_the_next_command_names_a_script_by_a_path_that_works_here(tmp_path, monkeypatch):
    words = ("python", "sweeps/paper_grid.py", "--study", "my s")
    script = ROOT / "sweeps" / "paper_grid.py"
    monkeypatch.chdir(ROOT)
    assert next_line(*words) == "next: python sweeps/paper_grid.py --study 'my s'"
    assert next_line("ray", "up", "a.py") == "next: ray up a.py"
    assert next_line("python") == "next: python"
    monkeypatch.chdir(tmp_path)
    assert next_line(*words) == f"next: python {script} --study 'my s'"
    assert next_line("python", "-m", "lvae_core") == "next: python -m lvae_core"
    assert next_line("python", "mine.py") == "next: python mine.py"
    (tmp_path / "code").symlink_to(ROOT)
    monkeypatch.setattr(sys, "argv", ["code/sweeps/paper_grid.py"])
    assert next_line(*words) == "next: python code/sweeps/paper_grid.py --study 'my s'"
    assert next_line("python", "sweeps/runs.py") == f"next: python {ROOT / 'sweeps' / 'runs.py'}"
    monkeypatch.chdir(ROOT / "sweeps")
    monkeypatch.setattr(sys, "argv", ["paper_grid.py"])
    assert next_line(*words) == "next: python paper_grid.py --study 'my s'"
