"""The recipes of docs/extending.md, followed to the letter: each new part trains and is evaluated."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lvae_core.config
from lvae_core.data.sources import toy
from lvae_core.model import counts, parts
from lvae_core.training.optimisation import parts as optimisation
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from . import tiny

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
CORPUS = tiny.corpus()


def block(path: str) -> str:
    """The code of the new file of a recipe."""
    found = re.search(rf"`{re.escape(path)}`, new.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, path
    return textwrap.dedent(found[1])


def module(path: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the new file of a recipe defines, as a module of the package would."""
    name = path.removesuffix(".py").replace("/", ".")
    made = ModuleType(name)
    monkeypatch.setitem(__import__("sys").modules, name, made)  # dataclasses look it up
    exec(compile(block(path), path, "exec"), vars(made))
    return vars(made)


def added(words: str) -> str:
    """The added lines of the diff that has these words."""
    for diff in re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL):
        if words in diff:
            lines = textwrap.dedent(diff).splitlines()
            return "\n".join(line[1:] for line in lines if line.startswith("+"))
    raise AssertionError(words)


RECIPES = {
    "decoder": ("lvae_core/model/bigram_decoder.py", "bigram", "BigramDecoder", parts.DECODERS),
    "posterior": ("lvae_core/model/isotropic.py", "isotropic", "Isotropic", parts.POSTERIORS),
    "encoder": ("lvae_core/model/mean_encoder.py", "lstm_mean", "MeanEncoder", parts.ENCODERS),
    "inference": ("lvae_core/model/one_step.py", "one_step", "one_step", parts.INFERENCES),
    "step": (
        "lvae_core/training/optimisation/encoder_first.py", "encoder_first", "EncoderFirst",
        optimisation.STEPS,
    ),
}  # fmt: skip
"""Field -> file, choice, name in the file, registry."""


@pytest.fixture
def field(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A field with the new choice of its recipe."""
    path, choice, name, registry = RECIPES[request.param]
    assert f'`"{choice}": {name}` in `' in PAGE, "the recipe says where it is registered"
    monkeypatch.setitem(registry, choice, module(path, monkeypatch)[name])
    choices = lvae_core.config._CHOICES
    monkeypatch.setitem(choices, request.param, (*choices[request.param], choice))
    space = dict(vars(counts))
    if request.param == "decoder":
        exec(added("_bigram_decoder").partition("\nDECODERS")[0], space)
        monkeypatch.setitem(counts.DECODERS, choice, space["_bigram_decoder"])
    elif request.param == "posterior":
        monkeypatch.setitem(counts.POSTERIORS, choice, eval(f"{{{added(choice)}}}", space)[choice])
    elif request.param == "encoder":
        monkeypatch.setitem(counts.ENCODERS, choice, counts._lstm_encoder)
    return str(request.param)


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("field", RECIPES, indirect=True)
def test_a_part_made_by_its_recipe_trains_and_is_evaluated(field, setting, tmp_path):
    changes = {field: RECIPES[field][1], "setting": setting, "word_dropout": 0.0}
    config = tiny.config("lstm-vae", batch_size=4, max_epochs=1, iw_samples=3, mi_samples=2, **changes)
    folder = tiny.folder(tmp_path, "run")
    for _ in execute(config, CORPUS, folder, Runtime()):
        pass
    estimates = folder.read_json("result.json")["estimates"]
    assert estimates["nll_iw"]["value"] > 0
    if field == "decoder":
        alone = tiny.config("lstm-lm", batch_size=4, max_epochs=1, decoder="bigram", setting=setting)
        for _ in execute(alone, CORPUS, tiny.folder(tmp_path, "alone"), Runtime()):
            pass


def test_the_dataset_made_by_its_recipe_has_its_splits(monkeypatch):
    made = module("lvae_core/data/sources/counting.py", monkeypatch)
    found = {split: sum(1 for _ in made["read"](split).sentences()) for split in made["SIZES"]}
    assert found == made["SIZES"]
    assert type(made["read"]("test")) is type(toy.read("test"))
