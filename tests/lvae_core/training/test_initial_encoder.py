"""Encoders that start from a trained run: what is copied, what identifies it, and what is refused."""

import dataclasses
import io
import shutil
from pathlib import Path

import pytest
import torch

from lvae_core import identity
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.model.text_model import TextModel
from lvae_core.parents import parent_of
from lvae_core.run_folder.folder import DamagedError, RunFolder, reproducible
from lvae_core.run_folder.names import run_name
from lvae_core.storage.store import open_store
from lvae_core.training.carry_out import check_parent_of_new
from lvae_core.training.state import load_checkpoint, save_checkpoint

from .. import tiny
from .runs import CORPUS, OFTEN, execute, run, short

SHA = CORPUS.data_sha256


def child(source: str = "lstm-lm", system: str = "cnn-vae", **fields: object) -> RunConfig:
    sizes = {"cnn_channels": 4, "cnn_external": 7, "cnn_dilations": "1,2"} if system == "cnn-vae" else {}
    return short(system, **(sizes | {"init_encoder_from": source, "num_samples": 1} | fields))


def folder_of(config: RunConfig, place: object) -> RunFolder:
    return RunFolder(open_store(str(place)), run_name(config, fingerprint(config, SHA)))


def trained_parent(config: RunConfig, place: object) -> dict[str, torch.Tensor]:
    """Train the parent and return the parameters of its best epoch, read with torch alone."""
    parent = parent_of(config)
    assert parent is not None
    folder = folder_of(parent, place)
    run(parent, folder)
    payload = folder.read_checkpoint()
    assert payload is not None
    return torch.load(io.BytesIO(payload), weights_only=True)["best_parameters"]


def first_parameters(config: RunConfig, folder: RunFolder) -> dict[str, torch.Tensor]:
    """Parameters before the first gradient step, from the checkpoint of a run whose steps move nothing."""
    still = execute(config, CORPUS, folder, OFTEN)
    next(still)
    still.close()
    payload = folder.read_checkpoint()
    assert payload is not None
    return torch.load(io.BytesIO(payload), weights_only=True)["best_parameters"]


def test_an_encoder_starts_from_the_language_models_lstm_and_word_vectors(tmp_path):
    config = child()
    there = trained_parent(config, tmp_path)
    here = first_parameters(config, folder_of(config, tmp_path))
    random = TextModel(dataclasses.replace(config, init_encoder_from="none"), 6).state_dict()
    V = len(CORPUS.vocabulary)
    assert there["decoder.embedding.weight"].shape[0] == V + 1  # <s>, which no encoder reads
    assert torch.equal(here["encoder.embedding.weight"], there["decoder.embedding.weight"][:V])
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(here[f"encoder.lstm.{name}"], there[f"decoder.lstm.{name}"])
        assert not torch.equal(here[f"encoder.lstm.{name}"], random[f"encoder.lstm.{name}"])
    others = [n for n in here if not n.startswith(("encoder.lstm.", "encoder.embedding."))]
    assert {name.partition(".")[0] for name in others} == {"encoder", "decoder", "output"}
    assert all(torch.equal(here[name], random[name]) for name in others)


@pytest.mark.parametrize("fields", [{"free_bits": 1.0}, {"linear_bias": True}])
def test_an_autoencoders_encoder_is_taken_with_its_head_and_not_its_decoder(fields, tmp_path):
    config = child("autoencoder", "lstm-vae", **fields)
    there = trained_parent(config, tmp_path)
    here = first_parameters(config, folder_of(config, tmp_path))
    random = TextModel(dataclasses.replace(config, init_encoder_from="none"), 6).state_dict()
    for name in here:
        assert torch.equal(here[name], (there if name.startswith("encoder.") else random)[name]), name
        assert not torch.equal(there[name], random[name]), name


def test_an_autoencoder_is_selected_by_its_reconstruction(tmp_path):
    parent = parent_of(child("autoencoder", "lstm-vae", learning_rate=0.5))
    assert parent is not None
    assert (parent.kl_weight, parent.valid_kl_weight, parent.system) == (0.0, 0.0, "lstm-ae")
    folder = folder_of(parent, tmp_path)
    run(parent, folder)
    rows = folder.read_metrics()
    N, tokens = len(CORPUS.valid), CORPUS.valid.num_tokens
    scores = [torch.tensor((r["valid_nll"] - r["valid_kl"]) * N / tokens).exp().item() for r in rows]
    assert [row["best_ppl"] for row in rows] == pytest.approx(
        [min(scores[: k + 1]) for k in range(len(rows))], rel=1e-5
    )
    # train_nll is the bound, KL included; what is minimised leaves the KL out.
    assert all(row["train_loss"] == pytest.approx(row["train_nll"] - row["train_kl"]) for row in rows)


def test_running_statistics_of_a_normalised_mean_are_taken_along(tmp_path):
    config = child("autoencoder", "lstm-vae", mu_batch_norm=0.5)
    there = trained_parent(config, tmp_path)
    here = first_parameters(config, folder_of(config, tmp_path))
    statistics = [name for name in there if name.startswith("encoder.mean_norm.")]
    assert len(statistics) > 1
    assert all(torch.equal(here[name], there[name]) for name in statistics)


def test_a_shared_table_starts_from_the_language_models(tmp_path):
    config = child(system="lstm-vae", share_embeddings=True)
    there = trained_parent(config, tmp_path)
    here = first_parameters(config, folder_of(config, tmp_path))
    assert torch.equal(here["decoder.embedding.weight"], there["decoder.embedding.weight"])
    assert torch.equal(here["encoder.embedding.weight"], there["decoder.embedding.weight"])


def test_the_parent_of_a_child_is_the_language_model_of_the_same_grid():
    recipe = tiny.config("lstm-lm", seed=0, batch_size=32, max_epochs=7)
    config = tiny.config("cnn-vae", max_epochs=7, init_encoder_from="lstm-lm", iw_samples=9, dropout=0.2)
    parent = parent_of(config)
    assert parent is not None
    assert fingerprint(parent, SHA) == fingerprint(recipe, SHA)
    inputless = dataclasses.replace(config, setting="inputless")
    assert parent_of(inputless) == parent


@pytest.mark.parametrize("changes", [{"seed": 1}, {"max_epochs": 9}, {"hidden_size": 6}, {"min_count": 2}])
def test_what_changes_the_parent_changes_the_child(changes):
    config, other = child(), child(**changes)
    parents = parent_of(config), parent_of(other)
    assert parents[0] is not None
    assert parents[1] is not None
    assert fingerprint(parents[0], SHA) != fingerprint(parents[1], SHA)
    assert fingerprint(config, SHA) != fingerprint(other, SHA)


def test_the_childs_fingerprint_covers_the_parents(monkeypatch):
    """Another version of a part that only the parent has makes the child another run."""
    config = child()
    without = dataclasses.replace(config, init_encoder_from="none")
    before = fingerprint(config, SHA), fingerprint(without, SHA)
    monkeypatch.setitem(identity.PART_VERSIONS, ("optimiser", "sgd"), 2)
    assert config.optimiser == "adam"
    assert fingerprint(config, SHA) != before[0]
    assert fingerprint(without, SHA) == before[1]


@pytest.mark.slow
def test_a_child_killed_anywhere_resumes_without_its_parent(tmp_path):
    config = child()
    trained_parent(config, tmp_path)
    whole = folder_of(config, tmp_path)
    yields = len(run(config, whole))
    expected = reproducible(whole.read_json("result.json") or {})
    provenance = whole.read_json("provenance.json") or {}
    parent = parent_of(config)
    assert parent is not None
    assert provenance["parent"]["run"] == folder_of(parent, tmp_path).name
    assert provenance["parent"]["fingerprint"] == fingerprint(parent, SHA)
    for k in range(1, yields, 4):
        stopped = RunFolder(open_store(str(tmp_path)), f"stopped-{k}")
        first = execute(config, CORPUS, stopped, OFTEN)
        for _ in range(k):
            next(first)
        first.close()
        elsewhere = RunFolder(open_store(str(tmp_path / f"alone-{k}")), "run")
        (tmp_path / f"alone-{k}").mkdir(exist_ok=True)
        (tmp_path / stopped.name).rename(tmp_path / f"alone-{k}" / "run")
        run(config, elsewhere)
        assert reproducible(elsewhere.read_json("result.json") or {}) == expected
        assert (elsewhere.read_json("provenance.json") or {})["parent"] == provenance["parent"]


def message(config: RunConfig, place: Path, corpus=CORPUS) -> str:
    with pytest.raises(InputError) as caught:
        run(config, RunFolder(open_store(str(place)), "child"), corpus=corpus)
    shutil.rmtree(place / "child")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_parent_that_cannot_be_used_is_refused_in_one_line(tmp_path):
    config = child()
    parent = parent_of(config)
    assert parent is not None
    folder = folder_of(parent, tmp_path)
    said = message(config, tmp_path)
    assert said.startswith(
        f"{folder}: no run folder, and cnn-vae starts its encoder from it; train it first"
    )
    assert said.endswith(f"`python -m lvae_core run CONFIG --parent --out {tmp_path}/child`")
    begun = execute(parent, CORPUS, folder, OFTEN)
    next(begun)
    begun.close()
    assert f"{folder}: not finished, and" in message(config, tmp_path)
    run(parent, folder)
    named = dataclasses.replace(config, init_encoder_from=folder.name)
    run(named, RunFolder(open_store(str(tmp_path)), "named"))
    assert "trained on other data, and cnn-vae" in message(named, tmp_path, tiny.corpus(classes=7))
    for field, value in {"hidden_size": 6, "embedding_size": 4, "max_vocabulary": 9}.items():
        said = message(dataclasses.replace(named, **{field: value}), tmp_path)
        assert f"{folder}: its {field} is " in said
        assert f"whose encoder starts from it, is {value}; give both the same" in said
    missing = dataclasses.replace(config, init_encoder_from="toy__lstm-lm__standard__L0__seed9__0123abcd")
    assert message(missing, tmp_path).endswith("no run folder, and cnn-vae starts its encoder from it; "
                                               "give a finished run")  # fmt: skip
    (tmp_path / folder.name / "checkpoint.pt").unlink()
    assert f"{folder}: finished, but has no checkpoint.pt" in message(config, tmp_path)
    renamed = missing.init_encoder_from
    (tmp_path / folder.name).rename(tmp_path / renamed)
    assert "holds a different run than its name says" in message(missing, tmp_path)


def test_an_encoder_starts_from_the_previous_checkpoint_if_it_has_the_same_best_epoch(tmp_path):
    config = child()
    there = trained_parent(config, tmp_path)
    parent = parent_of(config)
    assert parent is not None
    place = tmp_path / folder_of(parent, tmp_path).name
    (place / "checkpoint.pt").rename(place / "checkpoint.previous.pt")
    here = first_parameters(config, folder_of(config, tmp_path))
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        assert torch.equal(here[f"encoder.lstm.{name}"], there[f"decoder.lstm.{name}"])


def test_a_checkpoint_that_the_parents_result_was_not_made_from_gives_no_encoder(tmp_path):
    """It has the parameters of another epoch, or those of other words."""
    config = child()
    trained_parent(config, tmp_path)
    parent = parent_of(config)
    assert parent is not None
    folder = folder_of(parent, tmp_path)
    state = load_checkpoint(folder)
    assert state is not None
    other_words = dataclasses.replace(state, vocabulary=state.vocabulary[::-1])
    other_epoch = dataclasses.replace(state, rate=dataclasses.replace(state.rate, best_epoch=99))
    for changed, problem in (
        (other_words, "of another vocabulary than its data have"),
        (other_epoch, "not the one that result.json was made from"),
    ):
        save_checkpoint(folder, changed)
        with pytest.raises(DamagedError, match=problem):
            first_parameters(config, folder_of(config, tmp_path))
    place = tmp_path / folder.name
    (place / "checkpoint.pt").rename(place / "checkpoint.previous.pt")
    with pytest.raises(InputError, match=r"has no checkpoint\.pt"):
        first_parameters(config, folder_of(config, tmp_path))


@pytest.mark.parametrize("kept", ["checkpoint.pt", "checkpoint.previous.pt", "result.json"])
def test_a_run_that_needs_its_parent_no_more_does_not_ask_for_it(kept, tmp_path):
    config, folder = child(), tiny.folder(tmp_path)
    with pytest.raises(InputError, match="no run folder, and cnn-vae starts its encoder from it"):
        check_parent_of_new(config, CORPUS, folder)
    folder.store.write(f"{folder.name}/{kept}", b"")
    check_parent_of_new(config, CORPUS, folder)


def test_a_decoder_that_is_no_lstm_over_words_gives_no_encoder(tmp_path):
    for system, setting in (("cnn-lm", "standard"), ("lstm-lm", "inputless")):
        source = short(system, setting=setting, cnn_channels=4, cnn_external=7, cnn_dilations="1")
        run(source, folder_of(source, tmp_path))
        said = message(child(folder_of(source, tmp_path).name), tmp_path)
        assert "neither an LSTM language model over words nor a model with an encoder" in said


@pytest.mark.parametrize(
    "source", ["lstm-lmm", "runs/toy__lstm-lm__standard__L0__seed0__0123abcd", "", "a__b"]
)
def test_a_source_that_is_neither_recipe_nor_folder_is_refused(source):
    with pytest.raises(InputError, match="give lstm-lm, autoencoder, or the name"):
        RunConfig(init_encoder_from=source)
