"""Every system in both settings on datasets of the package: trained, evaluated and reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from analysis.formats.markdown import markdown
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.average import Average
from lvae_core.data.corpus import load_for
from lvae_core.evaluation.decoding import Decoding
from lvae_core.evaluation.generate import from_prior
from lvae_core.identity import fingerprint
from lvae_core.parents import AUTOENCODERS, parent_of
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import SYSTEMS
from lvae_core.training.runtime import Runtime
from lvae_core.training.trained import load
from lvae_core.training.trainer import execute

from .lvae_core import tiny

DATASETS = {"toy": 1, "pydocs": 2}
"""Each with its min_count."""

SENTENCES = 5
"""Of each split: two steps and an evaluation in milliseconds."""

TINY = {
    **{"max_steps": 2, "iw_samples": 22, "mi_samples": 2, "vmf_kappa": 25.0},
    **{"cnn_channels": 4, "cnn_external": 7, "cnn_dilations": "1,2"},
}

LABELS = {
    "lstm-lm": "LSTM-LM",
    "lstm-vae": "LSTM-VAE L=2",
    "lstm-vae-avg": "LSTM-VAE-AVG L=2",
    "lstm-vmf-vae": "LSTM-vMF-VAE L=2",
    "cnn-lm": "CNN-LM",
    "cnn-vae": "CNN-VAE L=2",
    "cnn-vae-init": "CNN-VAE+init L=2",
    "sa-vae": "SA-VAE L=2",
    "lstm-vae-ain": "LSTM-VAE-AIN+anneal L=2",
    "lstm-iwae": "LSTM-IWAE L=2",
    "lstm-vae-fb": "LSTM-VAE-FB L=2",
    "lstm-vae-ae-fb": "LSTM-VAE-AE-FB L=2",
    "lstm-vae-cyclical": "LSTM-VAE-CYCLICAL L=2",
    "lstm-beta-vae": "LSTM-BETA-VAE L=2",
}


def shortened(corpus):
    def first(split):
        return type(split)(split.tokens[: split.offsets[SENTENCES]], split.offsets[: SENTENCES + 1])

    return replace(corpus, **{name: first(getattr(corpus, name)) for name in ("train", "valid", "test")})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    study = Study(str(tmp_path_factory.mktemp("every") / "study"))
    for dataset, min_count in DATASETS.items():
        fields = {"dataset": dataset, "min_count": min_count, **TINY}
        corpus = shortened(load_for(tiny.config("lstm-lm", **fields), data_dir=None))
        for setting in tiny.SETTINGS:
            children = [tiny.config(system, setting=setting, **fields) for system in SYSTEMS]
            parents = [parent for child in children if (parent := parent_of(child)) is not None]
            named = {run_name(c, fingerprint(c, corpus.data_sha256)): c for c in [*parents, *children]}
            for name, config in named.items():
                *_, last = execute(config, corpus, study.run(name), Runtime(threads=1))
                assert last.phase == "done"
                if config.system in SYSTEMS:
                    decoding = Decoding(method="sample", max_length=5, seed=3)
                    assert len(from_prior(load(study.run(name)), 2, decoding)) == 2
    return collect([open_source(study.url)])


def test_every_system_is_trained_evaluated_sampled_and_reported(runs):
    assert LABELS.keys() == SYSTEMS.keys()
    frame = runs.frame[~runs.frame["system"].isin(AUTOENCODERS)]
    assert set(frame["status"]) == {"done"}
    assert set(frame["steps"]) == {2}
    every = {(d, system, s) for d in DATASETS for system in SYSTEMS for s in tiny.SETTINGS}
    assert set(zip(frame["dataset"], frame["system"], frame["setting"], strict=True)) == every
    assert frame["nll_elbo"].fillna(frame["nll"]).astype(float).between(1, 1000).all()

    report = compose(runs)
    assert report.problems == report.failures == report.missing == ()
    assert len(report.table2) == len(report.bounds) == len(DATASETS)
    for table in report.table2:
        numbers = {
            line.label.rstrip("‡"): [isinstance(value, Average) for value in line.values]
            for line in table.lines
        }
        for label in LABELS.values():
            # NLL, KL, PPL and n in both settings; a language model has no KL.
            assert numbers[label].count(True) == (4 if label.endswith("LM") else 6), (table.title, label)
    for table in report.bounds:
        labels = Counter(line.label for line in table.lines)
        assert {label: labels[label] for label in LABELS.values()} == dict.fromkeys(LABELS.values(), 2)
    text = markdown(report)
    assert [label for label in LABELS.values() if f"\n| {label}" not in text] == []
