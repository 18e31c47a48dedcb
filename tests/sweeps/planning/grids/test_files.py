from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from lvae_core.identity import evaluation_id, fingerprint
from sweeps.planning.grid import Grid, Limit
from sweeps.planning.grids.files import PRESETS, read_grid

SMALL = """
datasets = ["toy"]
seeds = "3..4"
settings = ["standard"]
[systems]
lstm-lm = {}
lstm-vae = [1, 5]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "my_grid.toml"
    path.write_text(text)
    return path


# Written down when the presets were still Python, every recipe counted epochs without improvement in all,
# SA-VAE clipped batches, and the demo's VAEs were evaluated with 20 draws where they now have 24: number of
# runs, and SHA-256 over a line for each run in order: its fingerprint for data of hash 0…0, the id of its
# evaluation, its seed.
GOLDEN = {
    "paper": (120, "7e2293ff2a081cbbc9c7bd9e25cd70daf16c1a57ca95e18871019a86647a89d7"),
    "all": (150, "2efa004c5477bc19b6ff0c87d3c2cd3398b0140ab7258209bbb63258e6633fbf"),
    "demo": (17, "f316a045ca6062e0c812e5df916084dc23f9973df32ce4a5e3c12bf009f65538"),
}


@pytest.mark.parametrize("preset", GOLDEN)
def test_presets_plan_the_runs_that_they_always_did(preset):
    by_batch = {"svi_max_sentence_norm": 0.0, "sa_clip": "consistent", "svi_max_grad_norm": 5.0}
    configs = [replace(c, patience_rule="in_all", **by_batch) for c in PRESETS[preset].grid.configs()]
    configs = [replace(c, iw_samples=20) if c.iw_samples == 24 else c for c in configs]
    lines = "\n".join(f"{fingerprint(c, '0' * 64)} {evaluation_id(c)} {c.seed}" for c in configs)
    assert (len(configs), hashlib.sha256(lines.encode()).hexdigest()) == GOLDEN[preset]


def test_presets_name_their_studies():
    assert {name: preset.study for name, preset in PRESETS.items()} == {
        **{"paper": "paper", "all": "paper", "demo": "demo"}
    }


def test_a_file_has_every_part_of_a_grid(tmp_path):
    path = written(
        tmp_path,
        """
        study = "ablation"
        protocol = "original"
        datasets = ["toy"]
        settings = ["standard"]
        seeds = [3, 7]

        [systems]
        lstm-lm = {}
        lstm-vae = [1, 5]
        cnn-vae = {num_samples = [1], settings = ["standard"], not_on = ["ptb"]}

        [set]
        dropout = [0.3, 0.5]
        share_embeddings = true
        cnn_dilations = ["1,2,4", "1,2"]
        batching = "shuffled"

        [[zip]]
        hidden_size = [4, 8]
        latent_size = [2, 3]

        [[also]]
        datasets = ["pydocs"]
        systems = {lstm-lm = [1]}
        set = {max_epochs = 3}
        """,
    )
    other = Grid(
        datasets=("pydocs",), systems={"lstm-lm": (1,)}, changes=("max_epochs=3",), protocol="original"
    )
    expected = Grid(
        datasets=("toy",),
        systems={"lstm-lm": (1,), "lstm-vae": (1, 5), "cnn-vae": (1,)},
        settings=("standard",),
        seeds=(3, 7),
        changes=(
            *("dropout=0.3,0.5", "share_embeddings=true", "cnn_dilations=[1,2,4],[1,2]"),
            "batching=shuffled",
        ),
        zips=(("hidden_size=4,8", "latent_size=2,3"),),
        protocol="original",
        limits={"cnn-vae": Limit(("standard",), ("ptb",))},
        also=(other,),
    )
    found = read_grid(path)
    assert found.study == "ablation"
    assert found.grid.configs() == expected.configs()


@pytest.mark.parametrize(
    ("name", "study"),
    [("a.toml", "a"), ("my grid.v2.toml", "my-grid.v2"), (".hidden", "hidden"), ("ä.toml", "ä")],
)
def test_the_study_is_named_after_the_file(tmp_path, name, study):
    path = tmp_path / name
    path.write_text(SMALL)
    assert read_grid(path).study == study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets = [", "not TOML (Invalid value (at end of document))"),
        ("datasets: [toy]", "not TOML (Expected '=' after a key in a key/value pair (at line 1, column 9)"),
        ("x = " + "[" * 5000, "not TOML ("),
        (f"{SMALL}[systems]", "not TOML ("),
        ("", "datasets: missing; every grid names its datasets and systems"),
        ('datasets = ["toy"]', "systems: missing"),
        (f"sets = 3\n{SMALL}", "unknown key 'sets': did you mean 'set'?"),
        (f"seed = 3\n{SMALL}", "unknown key 'seed': did you mean 'seeds'?"),
        ('datasets = "toy"\n[systems]\nlstm-lm = {}', 'datasets = \'toy\': must be a list of texts'),
        ("datasets = []\n[systems]\nlstm-lm = {}", "datasets: give at least one value"),
        (f"study = 3\n{SMALL}", "study = 3: use letters, digits"),
        (f'study = "a/b"\n{SMALL}', "study = 'a/b': use letters, digits"),
        (f'protocol = "theirs"\n{SMALL}', "protocol = 'theirs': must be matched or original"),
        (SMALL.replace('"3..4"', '"9..5"'), "seeds = 9..5: 9..5 is empty"),
        (SMALL.replace('"3..4"', "0"), "seeds = 0: must be at least 1"),
        (SMALL.replace('"3..4"', "1.5"), "seeds = 1.5: give a number, a text"),
        (SMALL.replace('"3..4"', "[1, 1]"), "seeds = [1, 1]: seed 1 is given twice"),
        (SMALL.replace('["toy"]', '["toy", "toy"]'), "datasets: toy is given twice; leave one out"),
        (SMALL.replace('"3..4"', "[-1]"), "not a list of seeds"),
        (SMALL.replace('"3..4"', "100000000"), "seeds = 100000000: 100,000,000 seeds; give at most"),
        (SMALL.replace('"standard"', '"standart"'), "settings: unknown setting 'standart': did you mean"),
        (f"{SMALL}lstm-va = [1]", "systems: unknown system 'lstm-va': did you mean 'lstm-vae'?"),
        (f"{SMALL}cnn-lm = [2]", "systems.cnn-lm = [2]: cnn-lm has no latent variable; write cnn-lm = {}"),
        (f"{SMALL}cnn-lm = {{num_samples = [3]}}", "cnn-lm has no latent variable; write cnn-lm = {}"),
        (f"{SMALL}sa-vae = 1", "systems.sa-vae = 1: write a list of the L, such as [1, 5]"),
        (f"{SMALL}sa-vae = []", "systems.sa-vae = []: write a list of the L"),
        (f"{SMALL}sa-vae = [1.5]", "systems.sa-vae = [1.5]: write a list of the L"),
        (f"{SMALL}sa-vae = [0]", "num_samples = 0: must be at least 1"),
        (f"{SMALL}sa-vae = {{L = [1]}}", "systems.sa-vae: unknown key 'L'"),
        (f'{SMALL}sa-vae = {{not_on = ["pbt"]}}', "systems.sa-vae.not_on: unknown dataset 'pbt': did you"),
        (f"{SMALL}[set]\ndroput = 0.3", "set: unknown config field 'droput': did you mean 'dropout'?"),
        (f'{SMALL}[set]\ndropout = "0.3"', "set.dropout = '0.3': must be a number, or a list of such"),
        (f"{SMALL}[set]\nmax_epochs = 3.5", "set.max_epochs = 3.5: must be a whole number"),
        (f"{SMALL}[set]\nmax_epochs = true", "set.max_epochs = True: must be a whole number"),
        (f"{SMALL}[set]\nshare_embeddings = 1", "set.share_embeddings = 1: must be true or false"),
        (f"{SMALL}[set]\nbatching = 1", "set.batching = 1: must be a text in quotes"),
        (f'{SMALL}[set]\nbatching = "shuffled,bucketed"', "must be one value; a list of them is"),
        (f"{SMALL}[set]\ndropout = []", "set: dropout=: no value"),
        (f"{SMALL}[set]\ndropout = [0.3, 0.3]", "set: dropout=0.3,0.3: 0.3 is given twice"),
        (f"{SMALL}[set]\ndropout = 2", "dropout = 2.0: must be in [0, 1)"),
        (f"{SMALL}[set]\nseed = 2", "set.seed: the grid chooses seed; use the key seeds"),
        (f"{SMALL}[set]\nnum_samples = [1, 5]", "the grid chooses num_samples; use the key systems"),
        (f"{SMALL}[set]\nvmf_kappa = 9", "no run of the grid has vmf_kappa; leave it out, because"),
        (f"{SMALL}[set]\nlr = 0.5", "set: unknown config field 'lr': did you mean 'learning_rate'?"),
        (f'{SMALL}[set]\naveraging = "hidden"', "turns lstm-vae into lstm-vae-avg"),
        (f"{SMALL}[zip]\ndropout = [0.3, 0.5]", "must be a table in double brackets, [[zip]]"),
        (f"{SMALL}[[zip]]\ndropout = [0.3, 0.5]", "zip dropout=0.3,0.5: pairs the values of two fields"),
        (f"{SMALL}[[zip]]\ndropout = [0.3, 0.5]\nmax_epochs = [1]", "lists of different lengths"),
        (f"{SMALL}[set]\ndropout = 0\n[[zip]]\ndropout = [0.3]\nmax_epochs = [1]", "is given twice"),
        (f"{SMALL}[[also]]\nstudy = 'b'", "also[1]: unknown key 'study'"),
        (f"{SMALL}[[also]]\nsystems = {{lstm-lm = {{}}}}", "also[1].datasets: missing"),
        (f"{SMALL}[[also]]\ndatasets = ['/a/toy']\nsystems = {{lstm-lm = {{}}}}", "both would be called"),
        (f"{SMALL}[[also]]\ndatasets = ['pydocs']\nsystems = {{lstm-va = [1]}}", "also[1].systems: "),
        (SMALL.replace("{}", '{not_on = ["toy"]}').replace("lstm-vae = [1, 5]", ""), "none of them is run"),
    ],
)  # fmt: skip
def test_a_bad_grid_file_is_one_line_with_file_and_key(text, message, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_grid(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_grid_file_is_one_line(tmp_path):
    (tmp_path / "binary").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    (tmp_path / "large").write_bytes(b"# a comment\n" * 100_000)
    for path, message in {
        tmp_path: "a folder; give a grid file",
        tmp_path / "none.toml": "cannot be read (No such file or directory); give the path of a grid file",
        tmp_path / ("long" * 100): "cannot be read (File name too long)",
        tmp_path / "null\0byte": "cannot be read (embedded null byte)",
        tmp_path / "binary": "not UTF-8 text",
        tmp_path / "large": "larger than 1 MB",
    }.items():
        with pytest.raises(InputError) as caught:
            read_grid(path)
        assert str(caught.value).startswith(f"{path}: {message}")
