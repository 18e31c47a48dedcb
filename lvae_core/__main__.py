"""Train, evaluate and sample one run, or describe a dataset, on this machine without a cluster."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from lvae_core.command import Interrupt, exit_status, print_error
from lvae_core.config import RunConfig, from_dict
from lvae_core.data.datasets import NAMES
from lvae_core.data.public import PUBLIC
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, is_quiet, notice
from lvae_core.run_folder.folder import DamagedError, RunFolder, open_study
from lvae_core.settings import apply_settings, fields_help, parse_settings
from lvae_core.systems import SYSTEMS, recipe

_log = logging.getLogger("lvae.data")


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit status: 0, 1 (the run failed), 2 (bad input) or 130 (stopped)."""
    options = _parser().parse_args(arguments)

    def command() -> int:
        Verbosity(verbose=options.verbose, quiet=options.quiet).apply()
        return int(options.command(options))

    try:
        return exit_status(command)
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lvae_core", description=__doc__)
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

    settings = _settings_parser()
    data_dir = argparse.ArgumentParser(add_help=False)
    data_dir.add_argument(
        "--data-dir", help=f"folder with {' and '.join(PUBLIC)} (default: $LVAE_DATA_DIR, else ./data)"
    )

    sub = command("describe", _describe, "print a dataset's statistics as JSON", data_dir)
    sub.add_argument("dataset", help=f"{', '.join(NAMES)} or a folder")

    sub = command("download", _download, "fetch a public dataset and verify its hash", data_dir)
    sub.add_argument("dataset", help=", ".join(PUBLIC))

    sub = command("recipe", _recipe, "print a system's complete config, to start from", settings)
    sub.add_argument("system", help=f"one of {', '.join(SYSTEMS)}")
    sub.add_argument("--dataset", default="ptb", help=f"{', '.join(NAMES)} or a folder (default: ptb)")
    sub.add_argument("--setting", default="standard", help="standard (default) or inputless")
    sub.add_argument(
        "--num-samples", type=int, default=1, metavar="L", help="samples per sentence (default: 1)"
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")

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
        "--checkpoint-epochs",
        type=int,
        default=1,
        metavar="N",
        help="save a checkpoint after every N epochs (default: 1)",
    )

    sub = command(
        "evaluate",
        _evaluate,
        "evaluate a trained run again, with other fields of evaluation and without training",
        *(data_dir, settings, execution),
    )
    sub.add_argument("run", help="the run folder, a path or URL")

    sub = command("generate", _generate, "sample, reconstruct and interpolate with a trained run", data_dir)
    sub.add_argument("run", help="the run folder, a path or URL")
    sub.add_argument(
        "--decode",
        choices=["greedy", "sample", "beam"],
        help="default: greedy; for a language model, sample",
    )
    sub.add_argument(
        "--temperature", type=float, default=1.0, help="temperature of --decode sample (default: 1)"
    )
    sub.add_argument("--beam-width", type=int, default=5, help="width of --decode beam (default: 5)")
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
        "--between", nargs=2, metavar=("FIRST", "LAST"), help="two sentences to interpolate between"
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


def _settings_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    fields = "; ".join(f"{name}: {text}" for name, text in fields_help().items())
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"change a field of the config; repeatable. Fields: {fields}".replace("%", "%%"),
    )
    return parser


def _describe(options: argparse.Namespace) -> int:
    from lvae_core.data.describe import describe

    print(json.dumps(describe(options.dataset, options.data_dir), indent=2))
    return 0


def _download(options: argparse.Namespace) -> int:
    from lvae_core.data.download import download

    for path in download(options.dataset, options.data_dir):
        print(path)
    data_dir_option = f" --data-dir {options.data_dir}" if options.data_dir else ""
    notice(f"next: python -m lvae_core describe {options.dataset}{data_dir_option}")
    return 0


def _recipe(options: argparse.Namespace) -> int:
    config = recipe(
        options.system,
        dataset=options.dataset,
        setting=options.setting,
        num_samples=options.num_samples,
        seed=options.seed,
    )
    print(json.dumps(apply_settings(config, options.set).to_dict(), indent=2))
    return 0


def _run(options: argparse.Namespace) -> int:
    from lvae_core.data.corpus import load_for
    from lvae_core.training.trainer import execute

    config = apply_settings(_read_config(options.config), options.set)
    runtime = _runtime(options)
    folder = _run_folder(options.out)
    corpus = load_for(config, options.data_dir)
    for warning in corpus.warnings:
        _log.warning(warning)
    status = _carry_out(folder, runtime, lambda claim: execute(config, corpus, folder, runtime, claim))
    if status == 0:
        print(_summary(folder.read_json("result.json") or {}))
        data_dir_option = f" --data-dir {options.data_dir}" if options.data_dir else ""
        notice(f"next: python -m lvae_core generate {options.out}{data_dir_option}")
    return status


def _evaluate(options: argparse.Namespace) -> int:
    from lvae_core.data.corpus import load_for
    from lvae_core.identity import evaluation_id, evaluation_values
    from lvae_core.run_folder.evaluations import read_evaluations
    from lvae_core.training.evaluate_again import evaluate_again

    runtime = _runtime(options)
    folder = _run_folder(options.run)
    present = folder.read_identity()
    if present is None:
        raise InputError(f"{folder}: no run folder; give the --out of `python -m lvae_core run`")
    read = evaluation_values(present[0])
    for field in parse_settings(options.set):
        if field not in read:
            raise InputError(
                f"--set {field}: not a field that the estimates of {present[0].system} read; "
                f"choose from {', '.join(read)}"
            )
    config = apply_settings(present[0], options.set)
    wanted = evaluation_id(config)
    status = 0
    if wanted not in read_evaluations(folder):
        corpus = load_for(config, options.data_dir)
        status = _carry_out(
            folder, runtime, lambda claim: evaluate_again(config, corpus, folder, runtime, claim)
        )
    if status == 0:
        record = read_evaluations(folder)[wanted]
        print("\n".join(["test split:", *_estimate_lines(record["estimates"])]))
        notice(f"next: python analysis/summarize.py {folder.store.url}")
    return status


def _runtime(options: argparse.Namespace) -> Any:
    """Check the options about where and how a run executes."""
    from lvae_core.training.runtime import Runtime, check_device

    for name in ("threads", "checkpoint_epochs"):
        if (value := getattr(options, name, 1)) < 1:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    if not 0 <= options.checkpoint_minutes < math.inf:
        raise InputError(f"--checkpoint-minutes {options.checkpoint_minutes}: must be 0 or more")
    check_device(options.device)
    return Runtime(
        device=options.device,
        threads=options.threads,
        checkpoint_epochs=getattr(options, "checkpoint_epochs", 1),
        checkpoint_seconds=60.0 * options.checkpoint_minutes,
    )


def _carry_out(folder: RunFolder, runtime: Any, start: Callable[[Any], Generator[Any, None, None]]) -> int:
    """Claim the folder and do the work that ``start`` begins, with progress; return the exit status."""
    from lvae_core.run_folder.claims import ClaimLostError, HeldError, acquire_patiently
    from lvae_core.training.failures import failure_of

    display = _Display()
    try:
        with Interrupt() as interrupt:
            work = start(acquire_patiently(folder, runtime.launch, notice))
            for progress in work:
                display.show(progress)
                if interrupt.requested and progress.phase != "done":
                    work.close()
                    line = f"stopped; the run is saved in {folder}; run the same command again to resume it"
                    print(line, file=sys.stderr)
                    return 130
    except (InputError, DamagedError):
        raise
    except HeldError as error:
        raise InputError(f"{error}; wait until it ends, or give another --out") from None
    except (OSError, ClaimLostError) as error:
        raise InputError(f"{folder}: {error}; run the same command again to resume it") from None
    except Exception as error:
        failure = failure_of(error)
        folder.write_failure(*failure)
        print_error(f"{folder}: {failure.kind}: {failure.message}")
        return 1
    return 0


def _generate(options: argparse.Namespace) -> int:
    from lvae_core.data.corpus import load_for
    from lvae_core.evaluation import generate
    from lvae_core.training.trained import load

    folder = _run_folder(options.run)
    trained = load(folder)
    latent = trained.model.encoder is not None
    decoding = generate.Decoding(
        method=options.decode or ("greedy" if latent else "sample"),
        temperature=options.temperature,
        beam_width=options.beam_width,
        max_length=options.max_length,
        seed=options.seed,
    )
    if options.count < 1:
        raise InputError(f"--count {options.count}: must be at least 1")
    given = options.sentence or options.between
    found: dict[str, Any] = {"prior": generate.from_prior(trained, options.count, decoding)}
    if latent or given:
        sentences, between = options.sentence, options.between
        if not given:
            # By default use the first test sentences, which the model was not trained on.
            test = load_for(trained.config, options.data_dir).test
            count = min(options.count, len(test))
            sentences = [" ".join(trained.vocabulary.decode(test.sentence(i))) for i in range(count)]
            between = sentences[:2] if count > 1 else None
        if sentences:
            decoded = generate.reconstruct(trained, sentences, decoding)
            read = [generate.as_read(trained, sentence) for sentence in sentences]
            found["reconstructions"] = [list(pair) for pair in zip(read, decoded, strict=True)]
        if between:
            first, last = between
            steps = max(2, options.count)
            found["interpolation"] = generate.interpolate(trained, first, last, steps, decoding)
            found["between"] = [generate.as_read(trained, first), generate.as_read(trained, last)]
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else _format_sentences(found))
    information = (folder.read_json("result.json") or {}).get("estimates", {}).get("mi")
    if information and information["value"] < 0.1:
        notice(
            f"note: z carries only {information['value']:.2f} nats about a sentence: this decoder hardly "
            "uses it, so the decoded sentences hardly vary"
        )
    return 0


def _format_sentences(found: dict[str, Any]) -> str:
    def shown(sentence: str) -> str:
        return sentence or "(empty)"

    lines = ["From the prior", *(f"  {shown(sentence)}" for sentence in found["prior"])]
    if "reconstructions" in found:
        lines += ["", "Reconstructions: a sentence, and the sentence decoded from its posterior mean"]
        for original, decoded in found["reconstructions"]:
            lines += [f"  {original}", f"  → {shown(decoded)}"]
    if "interpolation" in found:
        first, last = found["between"]
        lines += ["", "Interpolation", f"  ({first})", *(f"  {shown(s)}" for s in found["interpolation"])]
        lines += [f"  ({last})"]
    return "\n".join(lines)


def _read_config(path: str) -> RunConfig:
    """Read a config as printed by `recipe`, or the config.json of a run folder."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        values = json.loads(text)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; make one with `python -m lvae_core recipe lstm-vae > {path}`"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path}: not JSON ({error}); make a config with `python -m lvae_core recipe`"
        ) from None
    if isinstance(values, dict) and set(values) == {"fingerprint", "config", "sha256"}:
        values = values["config"]
    if not isinstance(values, dict):
        raise InputError(f"{path}: must contain one JSON object of config fields")
    return from_dict(values)


def _run_folder(url: str) -> RunFolder:
    if not url.strip():
        raise InputError("an empty path: give the run folder")
    parent, _, name = url.rstrip("/").rpartition("/")
    if not name or name in (".", ".."):
        path = Path(url).absolute().resolve()
        parent, name = str(path.parent), path.name
    return open_study(parent or ("/" if url.startswith("/") else ".")).run(name)


class _Display:
    """Progress on standard error: on a terminal one line that is rewritten, else one line per epoch."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.phase = ""
        self.began = 0.0
        self.first = 0.0

    def show(self, progress: Any) -> None:
        if is_quiet():
            return
        if progress.phase != self.phase:
            self.phase, self.began, self.first = progress.phase, time.monotonic(), progress.fraction
        clear = "\r\033[K" if self.live else ""
        if row := progress.metrics:
            rate = f"learning rate {row['learning_rate']:g}"
            kl = f", KL {row['valid_kl']:.2f}" if "valid_kl" in row else ""
            print(
                f"{clear}epoch {row['epoch']}: valid PPL {row['valid_ppl']:.2f}{kl}, {rate}",
                file=sys.stderr,
            )
        elif self.live and progress.phase != "done":
            left = _eta(time.monotonic() - self.began, self.first, progress.fraction)
            print(f"{clear}{progress.phase} {progress.fraction:.1%}{left}", end="", file=sys.stderr)
        elif progress.phase == "done" and self.live:
            print(clear, end="", file=sys.stderr)


def _eta(seconds: float, first: float, now: float) -> str:
    """Format the remaining time of a phase at its speed so far; empty before the speed is known."""
    if now <= first:
        return ""
    left = round(seconds * (1 - now) / (now - first))
    return f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left at most"


def _summary(result: dict[str, Any]) -> str:
    head = f"best epoch {result['best_epoch']} of {result['epochs']}, test split:"
    return "\n".join([head, *_estimate_lines(result["estimates"])])


def _estimate_lines(estimates: dict[str, Any]) -> list[str]:
    lines = []
    for name, estimate in estimates.items():
        error = f" ± {estimate['stderr']:.4f}" if "stderr" in estimate else ""
        value = estimate["value"]
        lines.append(f"  {name:<13} {value if isinstance(value, int) else f'{value:.4f}'}{error}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
