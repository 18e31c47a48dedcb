"""The command line of ``python -m lvae_core``: each command with its arguments, without importing torch."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lvae_core.arguments import Parser
from lvae_core.cli.import_text import add_arguments as _import
from lvae_core.data.datasets import NAMES
from lvae_core.data.sources.public import PUBLIC
from lvae_core.protocols import PROTOCOLS
from lvae_core.run_folder.event_files import FOLDER
from lvae_core.settings import fields_help
from lvae_core.systems import SYSTEMS

_Add = Callable[[argparse.ArgumentParser], None]
"""Adds arguments to a parser."""


class Command(NamedTuple):
    """A command, which a function of one of the modules in this folder carries out."""

    help: str
    module: str
    add: tuple[_Add, ...]
    function: str = "command"

    def __call__(self, options: argparse.Namespace) -> int:
        """Carry it out; return the exit status."""
        # Only now, because most of the modules import torch, which takes a second.
        module = importlib.import_module(f"lvae_core.cli.{self.module}")
        status: int = getattr(module, self.function)(options)
        return status


def make_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Make the parser. What it parses has the ``command`` to call with it."""
    parser: argparse.ArgumentParser = Parser(prog="python -m lvae_core", description=description)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        sub.set_defaults(command=command)
        for add in (*command.add, _verbosity):
            add(sub)
    return parser


def _verbosity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="also print reads, claims and retries")
    parser.add_argument("--quiet", action="store_true", help="print only errors and the result")


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        help=f"folder of corpora: of {' and '.join(PUBLIC)}, and of folders given by name "
        "(default: $LVAE_DATA_DIR, else ./data)",
    )


def _settings(parser: argparse.ArgumentParser) -> None:
    purpose = "change fields of the config, such as --set patience=5 dropout=0.2"
    _add_settings(parser, purpose, fields_help())


def _evaluation_settings(parser: argparse.ArgumentParser) -> None:
    purpose = "change fields that the run's estimates read, such as --set iw_samples=5000"
    _add_settings(parser, purpose, fields_help(evaluation=True))


def _add_settings(parser: argparse.ArgumentParser, purpose: str, fields: Mapping[str, str]) -> None:
    listed = "; ".join(f"{name}: {text}" for name, text in fields.items())
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"{purpose}; repeatable. Fields: {listed}".replace("%", "%%"),
    )


def _execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="save M minutes after the last checkpoint, also within an epoch or evaluation (default: 10)",
    )


def _describe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help=f"{', '.join(NAMES)} or a folder")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with every digit and the rules of import"
    )


def _download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help=", ".join(PUBLIC))


def _recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help=f"one of {', '.join(SYSTEMS)}")
    parser.add_argument("--dataset", default="ptb", help=f"{', '.join(NAMES)} or a folder (default: ptb)")
    parser.add_argument("--setting", default="standard", help="standard (default) or inputless")
    parser.add_argument(
        "--num-samples",
        type=int,
        metavar="L",
        help="latent samples per sentence, with a latent variable only (default: 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="matched",
        help="train as in Kruengkrai (2019), or as the system's authors (default: matched)",
    )


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="JSON file as printed by `recipe`; - for standard input")
    parser.add_argument("--out", required=True, help="the run folder, a path or URL")
    parser.add_argument(
        "--parent",
        action="store_true",
        help="instead train the run that this one's encoder starts from, in a folder next to --out",
    )
    parser.add_argument(
        "--checkpoint-epochs",
        type=int,
        default=1,
        metavar="N",
        help="save a checkpoint after every N epochs (default: 1)",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help=f"also write TensorBoard event files, to {FOLDER}/ in this folder",
    )


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run folder, a path or URL")
    parser.add_argument(
        "--part",
        metavar="K/N",
        help="score only the K-th of N parts of the test split, for example on one of N devices; "
        "without it, the command then joins the parts, and scores those that are missing",
    )


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run folder, a path or URL")
    parser.add_argument(
        "--decode",
        choices=["greedy", "sample", "beam"],
        help="default: greedy; for a language model, sample",
    )
    parser.add_argument(
        "--temperature", type=float, help="temperature of --decode sample, with no other (default: 1)"
    )
    parser.add_argument("--beam-width", type=int, help="width of --decode beam, with no other (default: 5)")
    parser.add_argument("--max-length", type=int, default=80, help="largest number of words (default: 80)")
    parser.add_argument(
        "--count", type=int, default=5, help="number of samples, and of interpolation steps (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    parser.add_argument(
        "--sentence",
        action="append",
        help="sentence to reconstruct; repeatable (default: the first ones of the test split)",
    )
    parser.add_argument(
        "--between",
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="two sentences to interpolate between: on a line, or on an arc if z lies on a sphere",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


COMMANDS: Mapping[str, Command] = {
    "describe": Command(
        "print a dataset's counts, lengths, unknown words and warnings", "describe", (_describe, _data_dir)
    ),
    "import": Command("make a dataset's folder from tables, or correct one", "import_text", (_import,)),
    "download": Command("fetch a public dataset and verify its hash", "download", (_download, _data_dir)),
    "recipe": Command(
        "print a system's complete config as a starting point", "recipe", (_recipe, _settings, _data_dir)
    ),
    "run": Command(
        "train and evaluate one run, or resume it from its run folder",
        "train",
        (_run, _settings, _data_dir, _execution),
        function="run",
    ),
    "evaluate": Command(
        "evaluate a trained run again with other evaluation fields, without training it",
        "train",
        (_evaluate, _evaluation_settings, _data_dir, _execution),
        function="evaluate",
    ),
    "generate": Command(
        "sample, reconstruct and interpolate with a trained run", "generate", (_generate, _data_dir)
    ),
}
