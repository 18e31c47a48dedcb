"""``python -m lvae_core import``: make a dataset's folder from text of other forms."""

from __future__ import annotations

import argparse
import logging
from typing import get_args

from lvae_core.data.datasets import read
from lvae_core.data.importing import Policy, Rules, import_text, summary, warnings
from lvae_core.data.markers import marker_warnings
from lvae_core.data.text_files import MAX_LENGTH, SPLITS
from lvae_core.errors import InputError
from lvae_core.messages import notice_next


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "source",
        nargs="+",
        help="a folder with train, valid and test (.txt, .tsv, .csv or .jsonl); the three files in this "
        "order; or one file, with --split",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the folder to make")
    parser.add_argument(
        "--column",
        "--columns",
        metavar="N|NAME",
        help="of tables: the column of the text, from 1, or its name; of JSON lines: its name",
    )
    parser.add_argument(
        "--delimiter",
        metavar="CHARACTER",
        help="of tables: what is between columns, such as ';' or tab (default: a comma in .csv, else tab)",
    )
    parser.add_argument(
        "--header", action="store_true", help="pass over the first line; implied by --column NAME"
    )
    parser.add_argument(
        "--unknown-word",
        action="append",
        default=[],
        metavar="WORD",
        help="a word that stands for unknown words; it becomes <unk>; repeatable",
    )
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="TOKEN",
        help="remove a token, such as <eos>, from the ends of lines; repeatable",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        default=MAX_LENGTH,
        metavar="T",
        help=f"largest number of tokens of a sentence, its end included (default: {MAX_LENGTH})",
    )
    parser.add_argument(
        "--max-length-policy",
        choices=get_args(Policy),
        default="refuse",
        help="what to do with longer ones (default: refuse)",
    )
    parser.add_argument(
        "--split",
        nargs=3,
        type=float,
        metavar=("TRAIN", "VALID", "TEST"),
        help="shares by which one file is divided, such as 0.8 0.1 0.1 or 8 1 1; equal sentences stay "
        "together",
    )
    parser.add_argument("--seed", type=int, help="seed of --split (default: 0)")


def command(options: argparse.Namespace) -> int:
    """Make the folder and print what became of the text; return the exit status."""
    if options.seed is not None and options.split is None:
        raise InputError(f"--seed {options.seed}: is of --split; give --split, or leave --seed out")
    rules = Rules(
        column=options.column,
        header=options.header,
        delimiter=options.delimiter,
        unknown_words=tuple(options.unknown_word),
        remove=tuple(options.remove),
        max_length=options.max_length,
        max_length_policy=options.max_length_policy,
        split=None if options.split is None else tuple(options.split),
        seed=options.seed or 0,
    )
    record = import_text(options.source, options.out, rules)
    for line in summary(record):
        print(line)
    texts = {split: read(options.out, split) for split in SPLITS}
    for warning in (*warnings(record), *marker_warnings(texts)):
        logging.getLogger("lvae.data").warning(warning)
    notice_next("-m", "lvae_core", "describe", options.out)
    return 0
