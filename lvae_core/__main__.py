"""Train, evaluate and sample one run, or describe a dataset, on this machine without a cluster."""

from __future__ import annotations

from lvae_core.environment import end_quietly_on_ctrl_c

if __name__ == "__main__":
    end_quietly_on_ctrl_c()

import sys

from lvae_core.arguments import parsed, repeat_settings
from lvae_core.cli.parser import make_parser
from lvae_core.command import exit_status
from lvae_core.messages import Verbosity


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit status: 0, 1 (the run failed), 2 (bad input) or 130 (stopped)."""

    def command() -> int:
        words = repeat_settings(sys.argv[1:] if arguments is None else arguments)
        options = parsed(lambda: make_parser(__doc__).parse_args(words))
        Verbosity(verbose=options.verbose, quiet=options.quiet).apply()
        return int(options.command(options))

    return exit_status(command)


if __name__ == "__main__":
    sys.exit(main())
