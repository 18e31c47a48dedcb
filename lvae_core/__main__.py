"""Train, evaluate and sample one run, or describe a dataset, on this machine without a cluster."""

from __future__ import annotations

from lvae_core.environment import end_quietly_on_ctrl_c

if __name__ == "__main__":
    end_quietly_on_ctrl_c()

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from lvae_core.arguments import Parser, parsed, repeat_settings
from lvae_core.cli import import_text
from lvae_core.command import exit_status
from lvae_core.data.datasets import NAMES, SHIPPED
from lvae_core.data.sources.public import PUBLIC
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, notice, notice_next
from lvae_core.protocols import PROTOCOLS
from lvae_core.run_folder.event_files import FOLDER
from lvae_core.settings import check_samples_read, fields_help, parse_settings
from lvae_core.systems import SYSTEMS, recipe


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit status: 0, 1 (the run failed), 2 (bad input) or 130 (stopped)."""

    def command() -> int:
        words = repeat_settings(sys.argv[1:] if arguments is None else arguments)
        options = parsed(lambda: make_parser().parse_args(words))
        Verbosity(verbose=options.verbose, quiet=options.quiet).apply()
        return int(options.command(options))

    return exit_status(command)


def make_parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(prog="python -m lvae_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verbosity = argparse.ArgumentParser(add_help=False)
    verbosity.add_argument("--verbose", action="store_true", help="also print reads, claims and retries")
    verbosity.add_argument("--quiet", action="store_true", help="print only errors and the result")

    def command(
        name: str, function: Any, help: str, *shared: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help, parents=[*shared, verbosity])
        sub.set_defaults(command=function)
        return sub

    settings = _settings_parser(
        "change fields of the config, such as --set patience=5 dropout=0.2", fields_help()
    )
    data_dir = argparse.ArgumentParser(add_help=False)
    data_dir.add_argument(
        "--data-dir",
        help=f"folder of corpora: of {' and '.join(PUBLIC)}, and of folders given by name "
        "(default: $LVAE_DATA_DIR, else ./data)",
    )

    sub = command(
        "describe", _describe, "print a dataset's counts, lengths, unknown words and warnings", data_dir
    )
    sub.add_argument("dataset", help=f"{', '.join(NAMES)} or a folder")
    sub.add_argument(
        "--json", action="store_true", help="print JSON, with every digit and the rules of import"
    )

    sub = command("import", _import, "make a dataset's folder from tables, or correct one")
    import_text.add_arguments(sub)

    sub = command("download", _download, "fetch a public dataset and verify its hash", data_dir)
    sub.add_argument("dataset", help=", ".join(PUBLIC))

    sub = command(
        "recipe", _recipe, "print a system's complete config as a starting point", data_dir, settings
    )
    sub.add_argument("system", help=f"one of {', '.join(SYSTEMS)}")
    sub.add_argument("--dataset", default="ptb", help=f"{', '.join(NAMES)} or a folder (default: ptb)")
    sub.add_argument("--setting", default="standard", help="standard (default) or inputless")
    sub.add_argument(
        "--num-samples",
        type=int,
        metavar="L",
        help="latent samples per sentence, with a latent variable only (default: 1)",
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    sub.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="matched",
        help="train as in Kruengkrai (2019), or as the system's authors (default: matched)",
    )

    evaluation_settings = _settings_parser(
        "change fields that the run's estimates read, such as --set iw_samples=5000",
        fields_help(evaluation=True),
    )
    execution = _execution_parser()
    sub = command(
        "run",
        _run,
        "train and evaluate one run, or resume it from its run folder",
        *(data_dir, settings, execution),
    )
    sub.add_argument("config", help="JSON file as printed by `recipe`; - for standard input")
    sub.add_argument("--out", required=True, help="the run folder, a path or URL")
    sub.add_argument(
        "--parent",
        action="store_true",
        help="instead train the run that this one's encoder starts from, in a folder next to --out",
    )
    sub.add_argument(
        "--checkpoint-epochs",
        type=int,
        default=1,
        metavar="N",
        help="save a checkpoint after every N epochs (default: 1)",
    )
    sub.add_argument(
        "--tensorboard",
        action="store_true",
        help=f"also write TensorBoard event files, to {FOLDER}/ in this folder",
    )

    sub = command(
        "evaluate",
        _evaluate,
        "evaluate a trained run again with other evaluation fields, without training it",
        *(data_dir, evaluation_settings, execution),
    )
    sub.add_argument("run", help="the run folder, a path or URL")
    sub.add_argument(
        "--part",
        metavar="K/N",
        help="score only the K-th of N parts of the test split, for example on one of N devices; "
        "without it, the command then joins the parts, and scores those that are missing",
    )

    sub = command("generate", _generate, "sample, reconstruct and interpolate with a trained run", data_dir)
    sub.add_argument("run", help="the run folder, a path or URL")
    sub.add_argument(
        "--decode",
        choices=["greedy", "sample", "beam"],
        help="default: greedy; for a language model, sample",
    )
    sub.add_argument(
        "--temperature", type=float, help="temperature of --decode sample, with no other (default: 1)"
    )
    sub.add_argument("--beam-width", type=int, help="width of --decode beam, with no other (default: 5)")
    sub.add_argument("--max-length", type=int, default=80, help="largest number of words (default: 80)")
    sub.add_argument(
        "--count", type=int, default=5, help="number of samples, and of interpolation steps (default: 5)"
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    sub.add_argument(
        "--sentence",
        action="append",
        help="sentence to reconstruct; repeatable (default: the first ones of the test split)",
    )
    sub.add_argument(
        "--between",
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="two sentences to interpolate between: on a line, or on an arc if z lies on a sphere",
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _execution_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="save M minutes after the last checkpoint, also within an epoch or evaluation (default: 10)",
    )
    return parser


def _settings_parser(purpose: str, fields: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    listed = "; ".join(f"{name}: {text}" for name, text in fields.items())
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"{purpose}; repeatable. Fields: {listed}".replace("%", "%%"),
    )
    return parser


def _describe(options: argparse.Namespace) -> int:
    from lvae_core.cli.describe import command

    return command(options)


def _import(options: argparse.Namespace) -> int:
    return import_text.command(options)


def _download(options: argparse.Namespace) -> int:
    from lvae_core.data.sources.download import download

    if options.dataset in SHIPPED:
        raise InputError(f"{options.dataset}: comes with the package; there is nothing to download")
    for path in download(options.dataset, options.data_dir):
        print(path)
    notice_next("-m", "lvae_core", "describe", options.dataset, data_dir=options.data_dir)
    return 0


def _recipe(options: argparse.Namespace) -> int:
    from lvae_core.data.new_run import complete_recipe

    given = parse_settings(options.set)
    for field in _RECIPE_FIELDS:
        if field in given:
            raise InputError(
                f"--set {field}={given[field]}: the recipe depends on it; use --{field.replace('_', '-')}"
            )
    base = recipe(
        options.system,
        dataset=options.dataset,
        setting=options.setting,
        num_samples=1 if options.num_samples is None else options.num_samples,
        seed=options.seed,
    )
    check_samples_read(base, options.num_samples)
    config, choice = complete_recipe(base, options.protocol, given, options.data_dir, prefix="--set ")
    if choice:
        notice(f"note: {choice}")
    print(json.dumps(config.to_dict(), indent=2))
    return 0


_RECIPE_FIELDS = ("dataset", "setting", "num_samples", "seed")
"""Fields that a recipe starts from; each has an option."""


# These commands import torch, which takes a second, so a command imports only what it needs.


def _run(options: argparse.Namespace) -> int:
    from lvae_core.cli.train import run

    return run(options)


def _evaluate(options: argparse.Namespace) -> int:
    from lvae_core.cli.train import evaluate

    return evaluate(options)


def _generate(options: argparse.Namespace) -> int:
    from lvae_core.cli.generate import command

    return command(options)


if __name__ == "__main__":
    sys.exit(main())
