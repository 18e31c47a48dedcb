"""Say what to do about studies of which no run has finished, in place of a report without numbers."""

from __future__ import annotations

from analysis.reading.collect import Runs
from analysis.reading.frame import STATUSES
from analysis.reading.sources import study_names
from analysis.report.failed_runs import failed_runs
from analysis.report.report import RETRY
from analysis.report.unfinished_launches import CONTINUE, unfinished_launches
from lvae_core.messages import next_line
from lvae_core.run_folder.advice import failure_advice


def nothing_finished(runs: Runs) -> tuple[list[str], int]:
    """The lines to print, and the exit status: 0 while runs are in progress, else 1.

    Args:
        runs: of one study or more; none has finished.
    """
    frame = runs.frame
    counts = frame["status"].value_counts()
    by_status = ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)
    lines = [f"{study_names(runs.studies)}: no run has finished ({by_status}), so there is no report"]
    lines += unfinished_launches(runs)
    if "failed" in counts:
        failed = frame[frame["status"] == "failed"]
        name, why = next(failed_runs(frame))
        lines.append(f"failed, such as {name}: {why}")
        lines += failure_advice(failed["failure_class"].astype(str), RETRY)
    lines += list(runs.problems)
    if "running" in counts:
        lines.append(next_line("python", "analysis/summarize.py", *runs.studies, "--watch"))
        return lines, 0
    lines.append(next_line("python", "sweeps/runs.py", "list", runs.studies[0]))
    if "unfinished" in counts and not any(CONTINUE in line for line in lines):
        lines.append(CONTINUE)
    return lines, 1
