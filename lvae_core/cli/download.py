"""``python -m lvae_core download``: fetch a public dataset."""

from __future__ import annotations

import argparse

from lvae_core.data.datasets import SHIPPED
from lvae_core.data.sources.download import download
from lvae_core.errors import InputError
from lvae_core.messages import notice_next


def command(options: argparse.Namespace) -> int:
    """Fetch the dataset, verify its hash and print its files; return the exit status."""
    if options.dataset in SHIPPED:
        raise InputError(f"{options.dataset}: comes with the package; there is nothing to download")
    for path in download(options.dataset, options.data_dir):
        print(path)
    notice_next("-m", "lvae_core", "describe", options.dataset, data_dir=options.data_dir)
    return 0
