"""Errors in a command line as one line each, whichever library parses it (argparse or tyro)."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

from lvae_core.errors import InputError, check_name

T = TypeVar("T")
P = ParamSpec("P")

_COLUMNS = "100000"
"""Width of the terminal that a parser sees, so that it breaks no line."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def parsed(parse: Callable[[], T]) -> T:
    """Parse a command line; ``parse`` may print the help and exit with status 0.

    Raises:
        InputError: an option is unknown, missing or has a value that does not fit.
    """
    printed = io.StringIO()
    try:
        with _wide_terminal(), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return parse()
    except SystemExit as end:
        if end.code in (None, 0):
            return parse()  # print the help again, as wide as the terminal is
    raise InputError(error_line(printed.getvalue()))


def repeat_settings(arguments: Iterable[str]) -> list[str]:
    """Rewrite ``--set A=1 B=2`` as ``--set A=1 --set B=2``, for a parser of one value per option.

    Words without ``=`` stay as they are: ``nargs="+"`` of argparse would take a positional argument that
    follows the settings for one more setting.
    """
    words: list[str] = []
    follows = False  # whether the last word is a setting
    for word in arguments:
        if follows and re.match(r"\w[\w-]*=", word):
            words.append("--set")
        else:
            follows = words[-1:] == ["--set"] or word.startswith("--set=")
        words.append(word)
    return words


def bound(function: Callable[P, T]) -> Callable[P, Callable[[], T]]:
    """Return a function with the same parameters that binds its arguments and returns the call.

    A parser that would call ``function`` itself, such as ``tyro.cli``, then only parses.
    """

    @functools.wraps(function)
    def bind(*args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        return functools.partial(function, *args, **kwargs)

    return bind


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _COLUMNS
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def error_line(printed: str) -> str:
    """Shorten what a parser prints about a wrong command line to one line."""
    # tyro frames its text with lines and columns of these characters; which, depends on the output.
    lines = [line.strip(" │") for line in _ANSI.sub("", printed).splitlines() if line.strip(" ╰─╯-")]
    try:
        return _of_argparse(lines) if printed.startswith("usage: ") else _of_tyro(lines)
    except InputError as error:
        return str(error)


def _of_argparse(lines: list[str]) -> str:
    program, _, message = (lines or [""])[-1].partition(": error: ")
    if choice := re.fullmatch(r"argument (\S+): invalid choice: '(.*?)' \(choose from (.*)\)", message):
        what, name, choices = choice.groups()
        check_name(name, re.findall(r"'([^']*)'", choices), "command" if what == "COMMAND" else what)
    return f"{message or program}; see {program} --help"


def _of_tyro(lines: list[str]) -> str:
    text = lines[1:]  # without the title
    # The line is broken if several arguments are missing.
    asks = re.search(r"For full helptext, \w+:? (.*)", " ".join(text))
    program = asks[1] if asks else ""
    message = text[0].rstrip(".") if text else "the command line cannot be used"
    if message.startswith("Unrecognized options:"):
        tokens = [token for token in message.partition(": ")[2].split(", ") if token]
        options = [token for token in tokens if token.startswith("-")] or tokens or ["''"]
        message = f"unknown option{'s' * (len(options) > 1)} {', '.join(options)}"
        for heading, option in itertools.pairwise(text):
            if heading.startswith(("Perhaps you meant:", "Arguments similar to")):
                return f"{message}: did you mean {option.split(' ')[0].rstrip(',')!r}?"
    elif message.startswith("Missing from"):
        required = [name for name, what in itertools.pairwise(text) if what.endswith("(required)")]
        message = f"give {' and '.join(required)}"
    elif wrong := re.match(r"Error parsing (\S+): no type matching (.*) could .* from \[(.*)\]", message):
        option, types, values = wrong.groups()
        types = types.removeprefix("{None}|")
        item = re.fullmatch(r"\{?\[?(\w+) \[\1 \.\.\.\]\]?\}?", types)
        if item and "', '" in values:
            values = f"one of {values}"
        types = item[1] if item else types
        types = types.replace("INT", "a whole number").replace("FLOAT", "a number")
        message = f"{option}: {values} is not {types.replace('|', ' or ')}"
    elif wrong := re.match(
        r"Error parsing (\S+): (?:invalid literal|could not convert) .*: ('.*')", message
    ):
        message = "{}: {} is not a number of its kind".format(*wrong.groups())
    elif wrong := re.match(r"Error parsing (\S+): .* valid parse for arguments: (.*)", message):
        message = "{}: {} cannot be read".format(*wrong.groups())
    elif choice := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected .* \((.*)\)", message):
        value, option, choices = choice.groups()
        check_name(value, re.findall(r"'([^']*)'", choices), option)
    elif message.endswith(":"):
        message = " ".join([message, *text[1:2]])
    return f"{message}; see {program}"
