"""Errors in a command line as one line each, whichever library parses it (argparse or tyro)."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

from lvae_core.errors import InputError, check_name

T = TypeVar("T")
P = ParamSpec("P")

_COLUMNS = "100000"
"""Width of the terminal that a parser sees, so that it breaks no line."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Parser(argparse.ArgumentParser):
    """A parser of argparse that refuses unknown words and repeated options itself.

    A subcommand then names its own help.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse ``args``. Raises InputError if a word is left over, or an option of one value repeated."""
        self._given: list[str] = []
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = {o.lstrip("-"): o for o in self._option_string_actions if o.startswith("--")}

            def near(option: str) -> str | None:
                similar = difflib.get_close_matches(option.lstrip("-"), options)
                known = [o for name, o in options.items() if name in similar or _begins(option, o)]
                return nearest_option(option, known)

            raise InputError(unknown_line(left, near, f"{self.prog} --help"))
        _check_given_once(self._given, ())
        return found, left

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # argparse calls this for each option that is given, also by an abbreviation or another spelling.
        if action.option_strings and not isinstance(action, argparse._AppendAction):
            self._given.append(action.option_strings[0])
        return super()._get_values(action, arg_strings)


REPEATABLE = frozenset({"--set", "--zip", "--space", "--published"})
"""The options of tyro's commands that collect what each repetition gives."""


def parsed(parse: Callable[[], T], given: Iterable[str] = (), lists: Sequence[str] = ()) -> T:
    """Parse a command line; ``parse`` may print the help and exit with status 0.

    Args:
        parse: reads the command line.
        given: its words, in which no option but those of :data:`REPEATABLE` may be given twice: tyro would
            silently use the last value alone.
        lists: the options that take several values after one.

    Raises:
        InputError: an option is unknown, missing, given twice or has a value that does not fit.
    """
    printed = io.StringIO()
    try:
        with _wide_terminal(), contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            found = parse()
    except SystemExit as end:
        if end.code in (None, 0):
            return parse()  # print the help again, as wide as the terminal is
        raise InputError(error_line(printed.getvalue())) from None
    _check_given_once(given, lists)
    return found


def _check_given_once(words: Iterable[str], lists: Sequence[str]) -> None:
    before = itertools.takewhile("--".__ne__, words)
    options = [word.partition("=")[0].replace("_", "-") for word in before if word.startswith("--")]
    for option, times in Counter(options).items():
        if times > 1 and option not in REPEATABLE:
            remedy = f"write all its values after one {option}" if option in lists else "give it once"
            raise InputError(f"{option}: given twice; {remedy}")
        opposite = option.replace("--no-", "--", 1)
        if opposite != option and opposite in options:
            raise InputError(f"{opposite} {option}: give one of them")


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
    lines = [
        line.replace("│", " ").rstrip()
        for line in _ANSI.sub("", printed).splitlines()
        if line.strip(" │╭╮╰─╯-")
    ]
    try:
        return _of_argparse(lines) if printed.startswith("usage: ") else _of_tyro(lines)
    except InputError as error:
        return str(error)


def unknown_line(words: Sequence[str], near: Callable[[str], str | None], help_command: str) -> str:
    """The error about words that a parser does not know.

    Args:
        words: the unknown options with their values, or arguments too many.
        near: returns the valid option that is meant by an unknown one, or None.
        help_command: the command that prints the help.
    """
    options = list(dict.fromkeys(w.partition("=")[0] for w in words if re.match(r"-[^\d.]", w)))
    what = "unknown option" if options else "superfluous argument"
    given = options or [word or "''" for word in words]
    message = f"{what}{'s' * (len(given) > 1)} {', '.join(given)}"
    meant = {option: found for option in options if (found := near(option))}
    if not meant:
        return f"{message}; see {help_command}"
    if len(options) == 1:
        return f"{message}: did you mean {meant[options[0]]!r}?"
    return f"{message}: give " + ", ".join(f"{found} for {option}" for option, found in meant.items())


def nearest_option(given: str, options: Iterable[str]) -> str | None:
    """The valid option that an unknown one means: rather one of which it is a beginning, or that begins it.

    ``--seed`` means ``--seeds`` and not ``--declare-seeds``, however similar that is.
    """

    def closeness(option: str) -> tuple[bool, float]:
        return _begins(given, option), difflib.SequenceMatcher(a=given, b=option).ratio()

    return max(options, key=closeness, default=None)


def _begins(given: str, option: str) -> bool:
    """Whether one of two options begins the other."""
    short, long = sorted((given.replace("_", "-"), option), key=len)
    return len(short) > len("--") and long.startswith(short)


_DASHES = {"expected one argument": "OPTION=VALUE", "expected 2 arguments": "a blank in front, in quotes"}
"""How argparse ends an error about an option -> what makes a word with a dash in front its value."""


def _of_argparse(lines: list[str]) -> str:
    program, _, message = (lines or [""])[-1].partition(": error: ")
    if choice := re.fullmatch(r"argument (\S+): invalid choice: '(.*?)' \(choose from (.*)\)", message):
        what, name, choices = choice.groups()
        check_name(name, re.findall(r"'([^']*)'", choices), "command" if what == "COMMAND" else what)
    for end, remedy in _DASHES.items():
        if message.endswith(end):
            message += f"; a value that begins with - needs {remedy}"
    return f"{message or program}; see {program} --help"


def _similar_options(lines: Sequence[str]) -> dict[str, list[str]]:
    """Unknown option -> the options that tyro finds similar; "" if it is the only one."""
    found: dict[str, list[str]] = {}
    for heading, first in itertools.pairwise(lines):
        title = re.fullmatch(r"\s*(?:Perhaps you meant|Arguments similar to (\S+?)):", heading)
        if title is None:
            continue
        # Below each option stands its help, further to the right, whose lines may begin with an option.
        indent = first[: len(first) - len(first.lstrip())]
        section = itertools.takewhile(
            lambda line: not line.strip().startswith(("Arguments similar to ", "For full helptext")),
            lines[lines.index(heading) + 1 :],
        )
        options = [line.removeprefix(indent) for line in section if line.startswith(f"{indent}-")]
        found[(title[1] or "").partition("=")[0]] = [re.split("[ ,]", option)[0] for option in options]
    return found


def _of_tyro(lines: list[str]) -> str:
    text = [line.strip() for line in lines[1:]]  # without the title
    # The line is broken if several arguments are missing.
    asks = re.search(r"For full helptext, \w+:? (.*)", " ".join(text))
    program = asks[1] if asks else ""
    message = text[0].rstrip(".") if text else "the command line cannot be used"
    if message.startswith("Unrecognized options:"):
        words = [word for word in message.partition(": ")[2].split(", ") if word] or [""]
        similar = _similar_options(lines)

        def near(option: str) -> str | None:
            return nearest_option(option, similar.get(option, similar.get("", [])))

        return unknown_line(words, near, program)
    if message.startswith("Missing from"):
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
        valid = re.findall(r"'([^']*)'", choices)
        if "None" in valid:  # an option that may be left out; its choices come in any order
            valid = sorted(set(valid) - {"None"})
        check_name(value, valid, option)
    elif message.endswith(":"):
        message = " ".join([message, *text[1:2]])
    return f"{message}; see {program}"
