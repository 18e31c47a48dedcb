"""Random damage to files: bytes that are cut, changed or inserted, and values that are replaced."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

from lvae_core.run_folder.digests import seal

TOML_VALUES = (
    *("0", "1", "-1", "2.5", "1e400", "nan", "-inf", "9" * 40, "true", "2026-11-29", "07:30:00"),
    *(
        '""',
        '"x"',
        '"0..1"',
        '"1..0"',
        '"0..99999999999"',
        '"a\\u0000b"',
        '"\\u001b[31m"',
        '"../x"',
        "'é☃'",
    ),
    *("[]", "{}", "[[]]", "[1, 1]", "[-1]", '["words", "words"]', '["nosuch"]', "[true]", "[{}]", "[nan]"),
    *("{num_samples = []}", "{x = 1}", "{seed = 1}", "{dropout = [0.1, 0.1]}", "[{dropout = [0.1]}]", "["),
    *("[" * 500 + "]" * 500, "[" + "1, " * 400 + "]", "0x10", "1_000", '"""\n"""'),
)
"""Right sides of a line of TOML."""


class Damage:
    """Damage files by choices of ``random``."""

    def __init__(self, random: random.Random) -> None:
        self._random = random

    def file(self, file: Path) -> str:
        """Damage a file; returns how."""
        data = file.read_bytes()
        kinds = ["cut", "flip", "insert", "empty", "gone", "folder"]
        kind = self._random.choice([*kinds, *["sealed"] * 6] if file.suffix == ".json" else kinds)
        at = self._random.randrange(len(data)) if data else 0
        if kind == "sealed":  # a valid digest over another value, as by a program of another version
            with contextlib.suppress(ValueError):  # it is damaged already, or no JSON
                value = json.loads(data)
                value.pop("sha256", None)
                text = self.change(value)
                file.write_bytes(seal(value))
                return f"sealed with {text}"
            kind = "empty"
        if kind == "gone":
            file.unlink()
        elif kind == "folder":
            file.unlink()
            file.mkdir()
        else:
            noise = self._random.randbytes(self._random.choice([1, 4, 100]))
            changed = {
                "cut": data[:at],
                "flip": data[:at] + noise + data[at + len(noise) :],
                "insert": data[:at] + noise + data[at:],
                "empty": b"",
            }
            file.write_bytes(changed[kind])
        return f"{kind} at {at}"

    def toml(self, text: str) -> tuple[str, str]:
        """Replace one value of a TOML text, or delete, double or move a line; returns text and what."""
        lines = text.splitlines()
        at = self._random.randrange(len(lines))
        key, equals, _ = lines[at].partition(" = ")
        kind = self._random.choice(["value", "value", "value", "delete", "double", "move"])
        if kind == "value" and equals:
            lines[at] = f"{key} = {self._random.choice(TOML_VALUES)}"
            what = lines[at][:80]
        else:
            line = lines[at] if kind == "double" else lines.pop(at)
            what = f"{kind} {line!r}"
            if kind in ("double", "move"):
                lines.insert(self._random.randrange(len(lines) + 1), line)
        return "\n".join(lines) + "\n", what

    def change(self, value: dict[str, Any]) -> str:
        """Change one entry of nested JSON; returns what was changed."""
        place: Any = value
        path = []
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return "nothing"
            key = self._random.choice(keys)
            path.append(key)
            if isinstance(place[key], dict | list) and place[key] and self._random.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and self._random.random() < 0.2:
                del place[key]
                return f"{path} deleted"
            place[key] = self._json()
            return f"{path} = {str(place[key])[:80]!r}"

    def _json(self) -> object:
        nested: object = []
        for _ in range(200):
            nested = [nested]
        return self._random.choice(
            [
                *(None, True, False, 0, 1, -1, 2.5, 1e308, -1e308, 10**30, float("nan"), float("inf")),
                *("", "x", "nan", "\x1b[31m", "\ud800", "a\x00b", "é" * 200, "../x", "2" * 64),
                *([], {}, [[]], {"x": None}, {"value": "x"}, [1, 2], nested),
            ]
        )
