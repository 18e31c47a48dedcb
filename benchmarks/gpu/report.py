"""Print records as they come and keep them in a JSON file. Never imports torch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIGNS = {True: "ok", False: "FAILED", None: ""}


class Report:
    """All records so far, printed and written.

    Args:
        file: JSON file that holds them after every record.
        about: what the file begins with: the command and the device.
    """

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        self.records: list[dict[str, Any]] = []
        self._file, self._about, self._start = file, dict(about), time.monotonic()

    def begin(self, title: str, seconds: float) -> None:
        """Print the heading of a part and the time that it has."""
        print(f"\n{title} (at most {seconds:.0f} s)", flush=True)

    def add(self, record: Mapping[str, Any]) -> None:
        """Print a record and write all of them."""
        self.records.append(dict(record))
        sign = SIGNS[record["passed"]]
        print(f"  {sign:6} {record['name']}: {record['text']}", flush=True)
        self.write("running")

    def write(self, state: str) -> None:
        """Write the JSON file, whole or not at all; ``state``: running, stopped or done."""
        content = {
            **self._about,
            "state": state,
            "seconds": round(time.monotonic() - self._start, 1),
            "passed": len(self.of(True)),
            "failed": [record["name"] for record in self.of(False)],
            "cut": [record["part"] for record in self.records if record.get("cut")],
            "records": self.records,
        }
        aside = self._file.with_name(f"{self._file.name}.partial")
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(aside, self._file)

    def of(self, passed: bool) -> list[dict[str, Any]]:
        """The checks with this outcome."""
        return [record for record in self.records if record["passed"] is passed]

    def close(self, state: str) -> None:
        """Write the file for the last time and print what it all amounts to."""
        self.write(state)
        failed, cut = self.of(False), [record["part"] for record in self.records if record.get("cut")]
        print(f"\n{state}: {len(self.of(True))} checks hold, {len(failed)} failed; {self._file}")
        for record in failed:
            print(f"  FAILED {record['name']}: {record['text']}")
        if cut:
            print(f"  no time for all of: {', '.join(cut)}; give more --minutes")
