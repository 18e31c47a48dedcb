"""``python -m lvae_core generate``: sample, reconstruct and interpolate with a trained run."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from lvae_core.errors import InputError
from lvae_core.evaluation.decoding import Decoding, Method, unread
from lvae_core.messages import notice, numbered
from lvae_core.run_folder.estimates import UNUSED
from lvae_core.run_folder.lookup import open_run

if TYPE_CHECKING:
    from lvae_core.evaluation.generate import Trained
    from lvae_core.run_folder.folder import RunFolder

_MOST_SENTENCES = 100_000
"""The largest --count: all sentences are decoded at once."""


def command(options: argparse.Namespace) -> int:
    """Print samples, reconstructions and an interpolation; return the exit status."""
    # Bad options are refused before torch is imported, which takes seconds.
    if not 1 <= options.count <= _MOST_SENTENCES:
        raise InputError(f"--count {options.count}: must be from 1 to {_MOST_SENTENCES}")
    folder = open_run(options.run)
    config = folder.read_latest_config()
    latent = config is not None and config.encoder != "none"
    method: Method = options.decode or ("greedy" if latent else "sample")
    _check_read(method, options)
    from lvae_core.evaluation import generate
    from lvae_core.training.trained import load

    decoding = Decoding(
        method=method,
        temperature=1.0 if options.temperature is None else options.temperature,
        beam_width=5 if options.beam_width is None else options.beam_width,
        max_length=options.max_length,
        seed=options.seed,
    )
    trained = load(folder)
    given = options.sentence or options.between
    found: dict[str, Any] = {"prior": generate.from_prior(trained, options.count, decoding)}
    if latent or given:
        sentences, between = options.sentence, options.between
        if not given:
            # By default use the first test sentences, which the model was not trained on.
            sentences = _first_of_test(trained, folder, options.data_dir, options.count)
            between = sentences[:2] if len(sentences) > 1 else None
        if sentences:
            after = generate.reconstruct(trained, sentences, decoding)
            read = [generate.as_read(trained, sentence) for sentence in sentences]
            found["reconstructions"] = [list(pair) for pair in zip(read, after, strict=True)]
        if between:
            first, last = between
            steps = max(2, options.count)
            found["interpolation"] = generate.interpolate(trained, first, last, steps, decoding)
            found["between"] = [generate.as_read(trained, first), generate.as_read(trained, last)]
    as_json = options.json
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else _format_sentences(found, latent))
    decoded = [*found["prior"], *found.get("interpolation", [])]
    decoded += [after for _, after in found.get("reconstructions", [])]
    if cut := sum(len(sentence.split(" ")) >= options.max_length for sentence in decoded):
        stops = numbered(cut, "sentence", "stops")
        notice(f"note: {stops} at --max-length {options.max_length}, maybe before the model's own end")
    if method != "sample" and not any(found["prior"]):
        notice("note: the most probable sentence is the empty one; --decode sample draws others")
    information = (folder.read_json("result.json") or {}).get("estimates", {}).get("mi")
    if information and information["value"] < UNUSED:
        # Of the decoder it says nothing: one that reads z varies with it, whatever the posterior is.
        alike = len(found["prior"]) > 1 and len(set(found["prior"])) == 1
        vary = "; all sentences decoded from the prior are the same" if alike else ""
        notice(
            f"note: the posterior says only {information['value']:z.2f} nats about a sentence, so "
            f"reconstructions hardly depend on it{vary}"
        )
    return 0


def _first_of_test(trained: Trained, folder: RunFolder, data_dir: str | None, count: int) -> list[str]:
    """The first sentences of the test split.

    Raises:
        InputError: the corpus cannot be used, or its words have other numbers than those of the run.
    """
    from lvae_core.data.corpus import load_for

    corpus = load_for(trained.config, data_dir)
    if corpus.vocabulary.words != trained.vocabulary.words:
        raise InputError(
            f"{folder}: trained on other data than {corpus.name} holds now; give the --data-dir that it "
            "was trained with, or --sentence"
        )
    ids = (corpus.test.sentence(i) for i in range(min(count, len(corpus.test))))
    return [" ".join(corpus.vocabulary.decode(sentence)) for sentence in ids]


def _check_read(method: Method, options: argparse.Namespace) -> None:
    """Raise InputError if an option is given that this method of decoding does not read."""
    given = {name for name, value in vars(options).items() if value is not None}
    for name, reader in unread(method, given):
        given_option = f"--{name.replace('_', '-')} {getattr(options, name):g}"
        raise InputError(
            f"{given_option}: --decode {method} does not read it; give --decode {reader}, or leave it out"
        )


def _format_sentences(found: dict[str, Any], latent: bool) -> str:
    def shown(sentence: str) -> str:
        return sentence or "(empty)"

    heading = "From the prior" if latent else "Samples"
    lines = [heading, *(f"  {shown(sentence)}" for sentence in found["prior"])]
    if "reconstructions" in found:
        lines += ["", "Reconstructions: a sentence, and the sentence decoded from its posterior mean"]
        for original, decoded in found["reconstructions"]:
            lines += [f"  {original}", f"  → {shown(decoded)}"]
    if "interpolation" in found:
        first, last = found["between"]
        lines += ["", "Interpolation", f"  ({first})", *(f"  {shown(s)}" for s in found["interpolation"])]
        lines += [f"  ({last})"]
    return "\n".join(lines)
