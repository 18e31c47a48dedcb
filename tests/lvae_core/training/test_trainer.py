"""A run as a whole: against a run by hand, and what it writes, yields, refuses and records."""

import hashlib
import json
import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from lvae_core.config import RunConfig
from lvae_core.data import corpus as corpus_module
from lvae_core.data import toy
from lvae_core.data.batches import epoch_order, eval_order
from lvae_core.errors import InputError
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.identity import fingerprint
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.digests import unseal
from lvae_core.run_folder.estimates import ESTIMATES
from lvae_core.run_folder.folder import DamagedError, DamageWarning, RunFolder, reproducible
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Progress, Runtime, check_device
from lvae_core.training.state import load_checkpoint
from lvae_core.training.trainer import execute

from .. import tiny
from ..oracles import hand_training

CORPUS = tiny.corpus()
OFTEN = Runtime(progress_seconds=0)


def short(system="lstm-vae", **fields) -> RunConfig:
    """A run of milliseconds."""
    base = {"batch_size": 4, "max_epochs": 3, "iw_samples": 4, "mi_samples": 2, "eval_batch_size": 2}
    return tiny.config(system, **(base | fields))


def run(config, folder, *, corpus=CORPUS, runtime=OFTEN) -> list[Progress]:
    return list(execute(config, corpus, folder, runtime))


def sentences_of(split) -> list[list[int]]:
    return [split.sentence(i).tolist() for i in range(len(split))]


# --- the protocol ---


@pytest.mark.parametrize(
    ("system", "setting", "fields"),
    [
        ("lstm-lm", "standard", {}),
        ("lstm-vae", "standard", {}),
        ("lstm-vae", "inputless", {"num_samples": 3, "batching": "shuffled"}),
        ("lstm-vae-avg", "standard", {"valid_samples": 2}),
        ("lstm-vae-avg", "inputless", {"num_samples": 3}),
    ],
)
def test_a_run_equals_the_run_by_hand(system, setting, fields, tmp_path):
    config = short(
        system, setting=setting, dropout=0.0, init_scale=0.5, learning_rate=4.0, max_grad_norm=0.9,
        lr_decay=0.3, max_epochs=7, kl_anneal_epochs=2.5, kl_weight=0.8, seed=11, **fields
    )  # fmt: skip
    folder = tiny.folder(tmp_path)
    run(config, folder)

    model = TextModel(config, len(CORPUS.vocabulary))
    names = [name for name, _ in model.named_parameters()]

    def order(epoch: int):
        batches = epoch_order(CORPUS.train.lengths, config.batch_size, config.batching, config.seed, epoch)
        return [batch.tolist() for batch in batches]

    splits = [sentences_of(split) for split in (CORPUS.train, CORPUS.valid, CORPUS.test)]
    expected = hand_training.train(tiny.parameters(model), names, config, *splits, order)

    # The protocol's branches were all taken, or the comparison would prove less than it seems to.
    assert expected.clipped > 0
    assert expected.unclipped > 0
    assert expected.halvings > 0
    rows = folder.read_metrics()
    assert len(rows) == len(expected.rows)
    for row, by_hand in zip(rows, expected.rows, strict=True):
        assert row == pytest.approx(by_hand, rel=3e-5, abs=1e-6)
    result = folder.read_json("result.json")
    assert result["best_epoch"] == expected.best_epoch
    assert result["epochs"] == len(expected.rows)
    assert result["steps"] == expected.steps
    values = {name: entry["value"] for name, entry in result["estimates"].items()}
    values = {name: value for name, value in values.items() if name not in ("mi", "au")}
    assert values == pytest.approx(expected.estimates, rel=3e-5)


def test_epochs_that_anneal_are_exempt_from_the_plateau(tmp_path):
    # At this rate some epochs of the first six do not improve.
    fields = {"learning_rate": 6.0, "max_grad_norm": 2.0, "max_epochs": 8, "dropout": 0.0}
    exempt = short(kl_anneal_epochs=6.0, **fields)
    held = replace(exempt, decay_while_annealing=True)
    rows = {}
    for name, config in (("exempt", exempt), ("held", held)):
        run(config, tiny.folder(tmp_path, name))
        rows[name] = tiny.folder(tmp_path, name).read_metrics()
    worse = [row["epoch"] for row in rows["exempt"] if row["valid_ppl"] > row["best_ppl"]]
    assert min(worse) < 6
    assert all(row["learning_rate"] == 6.0 for row in rows["exempt"][:6])
    assert [row["kl_weight"] for row in rows["exempt"][:6]] == pytest.approx([k / 6 for k in range(1, 7)])
    assert rows["held"][min(worse)]["learning_rate"] == 3.0


def test_patience_stops_a_run_and_the_best_epoch_is_evaluated(tmp_path):
    config = short("lstm-lm", learning_rate=20.0, max_grad_norm=0.0, max_epochs=50, patience=3, dropout=0.0)
    folder = tiny.folder(tmp_path)
    run(config, folder)
    rows, result = folder.read_metrics(), folder.read_json("result.json")
    worse = [row for i, row in enumerate(rows) if i and row["valid_ppl"] >= rows[i - 1]["best_ppl"]]
    assert len(worse) == 3
    assert worse[-1] is rows[-1]
    assert len(rows) < 50
    best = min(rows, key=lambda row: row["valid_ppl"])
    assert result["best_epoch"] == best["epoch"]
    assert best["epoch"] < len(rows)
    # The validation score once more, from the test side: a run whose test split is the validation split.
    mirrored = replace(CORPUS, test=CORPUS.valid, data_sha256="mirrored")
    again = tiny.folder(tmp_path, "mirrored")
    run(config, again, corpus=mirrored)
    assert again.read_json("result.json")["estimates"]["ppl"]["value"] == best["valid_ppl"]


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (3, 1), (4, 2), (100, 3)])
def test_max_steps_cuts_the_run_and_still_scores_it(steps, epochs, tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(max_steps=steps), folder)  # 3 batches an epoch, 3 epochs
    result, rows = folder.read_json("result.json"), folder.read_metrics()
    assert result["steps"] == min(steps, 9)
    assert result["epochs"] == len(rows) == epochs
    assert rows[-1]["step"] == min(steps, 9)


# --- what is written ---

RESULT = {
    "fingerprint", "config", "data_sha256", "precision", "estimates", "tokens", "sentences", "parameters",
    "best_epoch", "epochs", "steps", "train_seconds", "evaluate_seconds", "metrics_sha256",
}  # fmt: skip
OF_LATENT = {"nll_elbo", "ppl_elbo", "nll_iw", "ppl_iw", "kl", "mi", "au"}
ESTIMATES_OF = {
    "lstm-lm": {"nll", "ppl"},
    "lstm-vae": OF_LATENT,
    "lstm-vae-avg": OF_LATENT | {"nll_joint", "ppl_joint", "nll_iw_joint", "ppl_iw_joint"},
}
ROW = {"epoch", "step", "learning_rate", "train_loss", "train_nll", "valid_nll", "valid_ppl", "best_ppl"}


@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_result_and_metrics_have_the_documented_fields(system, setting, tmp_path):
    config, folder = short(system, setting=setting), tiny.folder(tmp_path)
    run(config, folder)
    result = folder.read_json("result.json")
    assert result.keys() == RESULT
    assert result["fingerprint"] == fingerprint(config, CORPUS.data_sha256)
    assert result["config"] == json.loads(json.dumps(config.to_dict()))
    assert result["tokens"] == sum(map(len, sentences_of(CORPUS.test)))
    assert result["sentences"] == 4
    assert result["estimates"].keys() == ESTIMATES_OF[system]
    assert result["estimates"].keys() <= ESTIMATES.keys()
    sampled = ESTIMATES_OF[system] - {"nll", "ppl", "kl", "au"}
    for name, entry in result["estimates"].items():
        assert entry.keys() == ({"value", "stderr"} if name in sampled else {"value"}), name
        assert "stderr" not in entry or entry["stderr"] > 0
    model = TextModel(config, len(CORPUS.vocabulary))
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    latent = set() if system == "lstm-lm" else {"kl_weight", "train_kl", "valid_kl"}
    for row in folder.read_metrics():
        assert row.keys() == ROW | latent
    assert folder.read_json("config.json") == {
        "fingerprint": result["fingerprint"],
        "config": result["config"],
    }
    assert folder.store.names("run") == [
        "checkpoint.previous.pt", "checkpoint.pt", "config.json", "metrics.jsonl", "provenance.json",
        "result.json",
    ]  # fmt: skip
    metrics = folder.store.read("run/metrics.jsonl")
    assert result["metrics_sha256"] == hashlib.sha256(metrics).hexdigest()


def test_provenance_lists_every_attempt(tmp_path):
    folder = tiny.folder(tmp_path)
    for _ in range(3):
        attempt = execute(short(), CORPUS, folder, OFTEN)
        next(attempt)
        attempt.close()
    attempts = folder.read_json("provenance.json")["attempts"]
    # Each was closed after a step.
    assert [attempt["from_step"] for attempt in attempts] == [0, 1, 2]
    for attempt in attempts:
        assert attempt["data_sha256"] == CORPUS.data_sha256
        assert attempt["versions"]["torch"] == torch.__version__
        assert attempt["threads"] == 1
        assert attempt["device"] == "cpu"
        assert attempt["commit"] == "unknown" or len(attempt["commit"]) == 40


def test_damaged_provenance_is_told_and_does_not_stop_the_run(tmp_path):
    folder = tiny.folder(tmp_path)
    folder.store.write("run/provenance.json", b"{")
    with pytest.warns(UserWarning, match=r"provenance.json: damaged.*provenance.json.damaged-1"):
        run(short(), folder)
    assert len(folder.read_json("provenance.json")["attempts"]) == 1
    assert folder.has("result.json")


def test_time_suspended_is_not_counted(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    folder = tiny.folder(tmp_path)
    for _ in execute(short(), CORPUS, folder, OFTEN):
        clock[0] += 1000.0
    result = folder.read_json("result.json")
    assert result["train_seconds"] == result["evaluate_seconds"] == 0.0


def test_a_checkpoint_made_in_evaluation_keeps_the_last_parameters_beside_the_best(tmp_path):
    config, folder = short(learning_rate=6.0, dropout=0.0, kl_anneal_epochs=0.0), tiny.folder(tmp_path)
    attempt = execute(config, CORPUS, folder, OFTEN)
    trained = None
    for progress in attempt:
        if progress.phase == "evaluate":
            attempt.close()
            break
        trained = load_checkpoint(folder)  # written at the end of every epoch
    closed = load_checkpoint(folder)
    assert closed.plateau.best_epoch < closed.epoch, "or the two would be the same"
    for name, value in closed.parameters.items():
        assert torch.equal(value, trained.parameters[name])
        assert torch.equal(closed.best_parameters[name], trained.best_parameters[name])
    assert any(not torch.equal(v, closed.best_parameters[n]) for n, v in closed.parameters.items())


# --- what is yielded ---


@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_progress_runs_through_its_phases(system, tmp_path):
    folder = tiny.folder(tmp_path)
    seen = run(short(system), folder)
    phases = [p.phase for p in seen]
    assert phases == sorted(phases, key=["train", "evaluate", "done"].index)
    assert set(phases) == {"train", "evaluate", "done"}
    assert phases.count("done") == 1
    assert [p.metrics for p in seen if p.metrics] == folder.read_metrics()
    for phase in ("train", "evaluate"):
        fractions = [p.fraction for p in seen if p.phase == phase]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] <= fractions[-1] == 1.0
    steps = [p.step for p in seen]
    assert steps == sorted(steps)
    assert (seen[-1].epoch, seen[-1].step, seen[-1].fraction) == (3, 9, 1.0)


def test_a_row_is_written_before_it_is_reported(tmp_path):
    folder = tiny.folder(tmp_path)
    for progress in execute(short(), CORPUS, folder, OFTEN):
        if progress.metrics:
            assert folder.read_metrics()[-1] == progress.metrics


def test_reports_are_as_rare_as_asked(tmp_path):
    rare = run(short(), tiny.folder(tmp_path), runtime=Runtime(progress_seconds=1e9))
    # One for every epoch, and the last.
    assert [p.phase for p in rare] == ["train"] * 3 + ["done"]


def test_a_finished_run_is_left_alone(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(), folder)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "run").iterdir()}
    assert run(short(), folder) == [Progress(phase="done", epoch=3, step=9, fraction=1.0)]
    after = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "run").iterdir()}
    assert after == before


# --- what is refused and what fails ---


def test_the_folder_of_another_run_is_refused(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(), folder)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    others = [
        (short(seed=1), CORPUS),
        (short(), replace(CORPUS, data_sha256="other data")),
    ]
    for config, corpus in others:
        with pytest.raises(InputError, match=r"config.json: belongs to another run") as caught:
            run(config, folder, corpus=corpus)
        assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("file", ["config.json", "result.json", "metrics.jsonl", "provenance.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_damaged_files_are_named_set_aside_and_made_again(file, data, tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(max_epochs=1), folder)
    before = {name: folder.store.read(f"run/{name}") for name in folder.store.names("run")}
    if file == "provenance.json":  # it is read where there is something to do
        folder.store.delete("run/result.json")
    folder.store.write(f"run/{file}", data)
    with pytest.warns(DamageWarning, match=f"run/{file}: damaged, .*; set aside as {file}.damaged-1"):
        run(short(max_epochs=1), folder)
    assert folder.store.read(f"run/{file}.damaged-1") == data
    result = folder.read_json("result.json")
    assert reproducible(result) == reproducible(unseal(before["result.json"]))
    for name in ("config.json", "metrics.jsonl"):
        assert folder.store.read(f"run/{name}") == before[name]
    assert len(folder.read_json("provenance.json")["attempts"]) >= 1


def test_a_result_outlives_the_metrics_that_nothing_can_restore(tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(max_epochs=1), folder)
    result = folder.store.read("run/result.json")
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        folder.store.delete(f"run/{name}")
    folder.store.write("run/metrics.jsonl", b"{")
    with pytest.warns(DamageWarning) as caught:
        run(short(max_epochs=1), folder)
    assert "set aside as metrics.jsonl.damaged-1" in str(caught[0].message)
    assert "no checkpoint tells what was in it. The result stands" in str(caught[1].message)
    assert folder.store.read("run/result.json") == result


def test_what_a_killed_process_left_half_written_is_set_aside(tmp_path):
    folder = tiny.folder(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".checkpoint.pt.0123456789abcdef").write_bytes(b"half")
    with pytest.warns(DamageWarning, match=r"run/\.checkpoint\.pt\.0123456789abcdef: left half-written"):
        run(short(max_epochs=1), folder)
    assert folder.store.read("run/checkpoint.pt.partial-1") == b"half"
    assert folder.has("result.json")


def test_rows_that_contradict_the_checkpoint_are_damage(tmp_path):
    folder = tiny.folder(tmp_path)
    stop_after_an_epoch(folder)
    rows = folder.read_metrics()
    folder.write_metrics([{**rows[0], "valid_nll": 0.5}, *rows[1:]])
    with pytest.warns(DamageWarning, match="metrics.jsonl: damaged, not the rows of the checkpoint"):
        run(short(), folder)
    assert folder.read_metrics()[: len(rows)] == rows


def stop_after_an_epoch(folder: RunFolder) -> None:
    """Leave a run with a checkpoint and a row of metrics."""
    unfinished = execute(short(), CORPUS, folder, Runtime(progress_seconds=0))
    for progress in unfinished:
        if progress.metrics:
            break
    unfinished.close()


@pytest.mark.parametrize("values", [{}, {"fingerprint": "another", "epochs": 3, "steps": 9}])
def test_a_foreign_result_is_not_taken_for_this_runs(values, tmp_path):
    folder = tiny.folder(tmp_path)
    folder.write_json("result.json", values)
    with pytest.raises(DamagedError, match=r"run/result.json: not the result of this run"):
        run(short(), folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"learning_rate": 1e38, "max_grad_norm": 0.0}, "the loss is not finite in epoch 1"),
        # The loss stays finite, and more than 709 nats a token are no float's perplexity.
        (
            {"system": "lstm-lm", "learning_rate": 1e6, "max_grad_norm": 0.0, "max_steps": 1},
            "validation perplexity is inf in epoch 1",
        ),
    ],
)
def test_a_run_that_diverges_says_so_and_leaves_no_result(fields, says, tmp_path):
    folder = tiny.folder(tmp_path)
    for _ in range(2):  # and again, from whatever it left
        with pytest.raises(DivergedError, match=says):
            run(short(**{"dropout": 0.0} | fields), folder)
    assert not folder.has("result.json")


def test_success_clears_an_earlier_failure(tmp_path):
    folder = tiny.folder(tmp_path)
    folder.write_failure("infrastructure", "node lost", "")
    run(short(max_epochs=1), folder)
    assert not folder.has("failure.json")


def test_devices_are_checked_by_name():
    check_device("cpu")
    for device in ("cuda:99", "cup"):
        with pytest.raises(InputError, match=f"device '{device}': not usable here") as caught:
            check_device(device)
        assert "\n" not in str(caught.value)


# --- it learns ---


@cache
def toy_corpus() -> corpus_module.Corpus:
    return corpus_module.load("toy")


@pytest.mark.parametrize(
    ("system", "estimate"),
    [("lstm-lm", "nll"), ("lstm-vae", "nll_iw"), ("lstm-vae-avg", "nll_iw_joint")],
)
def test_it_learns_the_toy_language_and_never_beats_the_truth(system, estimate, tmp_path):
    config = tiny.config(
        system, num_samples=1 + (system == "lstm-vae-avg"), embedding_size=8, hidden_size=16, dropout=0.0,
        batch_size=8, kl_anneal_epochs=2.0, lr_decay=0.8, patience=99, max_epochs=12, iw_samples=20, seed=1,
    )  # fmt: skip
    corpus, folder = toy_corpus(), tiny.folder(tmp_path)
    run(config, folder, corpus=corpus)
    found = folder.read_json("result.json")["estimates"][estimate]["value"]

    words = corpus.vocabulary.words
    sentences = sentences_of(corpus.test)
    truth = [-toy.log_likelihood([words[w] for w in sentence[:-1]]) for sentence in sentences]
    # Sentence by sentence, for the spread; the mean is that of the result.
    model = TextModel(config, len(words))
    model.load_state_dict(load_checkpoint(folder).best_parameters)
    batches = eval_order(corpus.test.lengths, config.eval_batch_size)
    rows = torch.cat(
        list(sentence_statistics(model, corpus.test, config, split_name="test", samples=config.iw_samples))
    )
    column = rows[:, COLUMNS.index("nll_elbo" if system == "lstm-lm" else estimate)]
    assert float(column.mean()) == pytest.approx(found, rel=1e-6)
    gaps = column - torch.tensor([truth[i] for batch in batches for i in batch])

    # The model knows nothing of the test sentences, so the expected gap is a KL divergence, plus what a
    # bound adds: never below 0. The mean over these hundred falls below it by chance alone.
    error = float(gaps.std()) / math.sqrt(len(gaps))
    assert float(gaps.mean()) > -4 * error
    # Learnt: uniform guessing lies 8 nats a sentence above the truth.
    uniform = corpus.test.num_tokens * math.log(len(words)) / len(truth)
    assert uniform - sum(truth) / len(truth) > 8
    assert float(gaps.mean()) < 1.6
