"""The files of a run folder: written, refused, repaired and recorded."""

import hashlib
import io
import json
import re
import subprocess
from dataclasses import replace

import pytest
import torch

from lvae_core import identity
from lvae_core.errors import InputError
from lvae_core.identity import EVALUATION_VERSION, fingerprint
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.claims import ClaimLostError
from lvae_core.run_folder.digests import unseal
from lvae_core.run_folder.estimates import ESTIMATES
from lvae_core.run_folder.folder import DamagedError, RunFolder, reproducible
from lvae_core.storage.local import LocalStore
from lvae_core.training import provenance
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Runtime, check_device
from lvae_core.training.state import load_checkpoint
from lvae_core.training.trainer import execute

from ...logs import expect_log
from .. import tiny
from .runs import CORPUS, OFTEN, run, sentences_of, short

# --- what is written ---

RESULT = {
    "fingerprint", "config", "data_sha256", "precision", "estimates", "tokens", "sentences", "parameters",
    "best_epoch", "epochs", "steps", "steps_per_epoch", "train_seconds", "evaluate_seconds",
    "metrics_sha256", "vocabulary", "splits",
}  # fmt: skip
OF_LATENT = {"nll_elbo", "ppl_elbo", "nll_iw", "ppl_iw", "kl", "mi", "au"}
ESTIMATES_OF = {
    "lstm-lm": {"nll", "ppl"},
    "lstm-vae": OF_LATENT,
    "sa-vae": OF_LATENT | {"nll_elbo_amortised", "ppl_elbo_amortised"},
    "lstm-vae-avg": OF_LATENT
    | {"nll_joint", "ppl_joint", "nll_iw_joint", "ppl_iw_joint", "nll_iw_one", "ppl_iw_one"},
}
OF_UNKNOWN = {"unknown_words"}
ROW = {"epoch", "step", "learning_rate", "train_loss", "train_nll", "valid_nll", "valid_ppl", "best_ppl"}


@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("system", [*tiny.SYSTEMS, "sa-vae"])
@pytest.mark.parametrize("unknown", [None, 3])
def test_result_and_metrics_have_the_documented_fields(system, setting, unknown, tmp_path):
    config, folder, corpus = (
        short(system, setting=setting),
        tiny.folder(tmp_path),
        tiny.corpus(unknown=unknown),
    )
    run(config, folder, corpus=corpus)
    result = folder.read_json("result.json")
    # Estimates of a later version than the first say so.
    assert result.keys() - {"evaluation_version"} == RESULT
    assert result.get("evaluation_version", 1) == EVALUATION_VERSION
    assert result["fingerprint"] == fingerprint(config, corpus.data_sha256)
    assert result["config"] == json.loads(json.dumps(config.to_dict()))
    assert result["tokens"] == sum(map(len, sentences_of(corpus.test)))
    assert result["sentences"] == 4
    assert result["vocabulary"] == len(corpus.vocabulary)
    for name, split in (("train", corpus.train), ("valid", corpus.valid), ("test", corpus.test)):
        words = [word for sentence in sentences_of(split) for word in sentence]
        share = sum(word == unknown for word in words) / len(words)
        assert result["splits"][name] == {
            "sentences": len(split), "tokens": len(words), "unknown": pytest.approx(share)
        }  # fmt: skip
    expected = ESTIMATES_OF[system] | (set() if unknown is None else OF_UNKNOWN)
    assert result["estimates"].keys() == expected
    assert result["estimates"].keys() <= ESTIMATES.keys()
    sampled = expected - {"nll", "ppl", "kl", "au"} - (OF_UNKNOWN if system == "lstm-lm" else set())
    for name, entry in result["estimates"].items():
        # So few draws have no tail, hence no khat_above.
        weighted = {"nll": {"jackknife", "ess"}, "ppl": {"jackknife"}}[name[:3]] if "_iw" in name else set()
        assert entry.keys() == ({"value", "stderr"} if name in sampled else {"value"}) | weighted, name
        assert "stderr" not in entry or entry["stderr"] > 0
    model = TextModel(config, len(corpus.vocabulary))
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
        "result.json", "steps.jsonl",
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


def test_damaged_provenance_is_reported_and_does_not_stop_the_run(tmp_path):
    folder = tiny.folder(tmp_path)
    folder.store.write("run/provenance.json", b"{")
    with expect_log("lvae.run_folder", r"provenance.json: damaged.*provenance.json.damaged-1"):
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


def test_a_checkpoint_made_in_evaluation_keeps_the_last_and_the_best_parameters(tmp_path):
    config, folder = short(learning_rate=6.0, dropout=0.0, kl_anneal_epochs=0.0), tiny.folder(tmp_path)
    attempt = execute(config, CORPUS, folder, OFTEN)
    trained = None
    for progress in attempt:
        if progress.phase == "evaluate":
            attempt.close()
            break
        trained = load_checkpoint(folder)  # written at the end of every epoch
    closed = load_checkpoint(folder)
    assert closed.rate.best_epoch < closed.epoch, "or the two would be the same"
    for name, value in closed.parameters.items():
        assert torch.equal(value, trained.parameters[name])
        assert torch.equal(closed.best_parameters[name], trained.best_parameters[name])
    assert any(not torch.equal(v, closed.best_parameters[n]) for n, v in closed.parameters.items())


# --- what is refused and what fails ---


def test_the_folder_of_another_run_is_refused_with_what_differs(tmp_path, monkeypatch):
    folder = tiny.folder(tmp_path)
    run(short(), folder)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    other = replace(CORPUS, data_sha256="other data")
    data = (
        f"the config is the same, but the data differ (SHA-256 {CORPUS.data_sha256[:8]}…, here other da…)"
    )
    version = "config and data are the same, but the version of the code differs"
    others = [
        (short(seed=1), CORPUS, "seed = 0, here 1"),
        (short(hidden_size=3, patience=7), other, r"hidden_size = \d+, here 3; patience = \d+, here 7"),
        (short("lstm-lm", patience=7), CORPUS, "system = 'lstm-vae', here 'lstm-lm'; .*; and 1 more"),
        (short(), other, re.escape(data)),
        (short(), CORPUS, version),
    ]
    for config, corpus, words in others:
        if words == version:
            monkeypatch.setattr(identity, "NUMERICS_VERSION", 7)
        with pytest.raises(
            InputError, match=f"config.json: belongs to another run: {words}; give"
        ) as caught:
            run(config, folder, corpus=corpus)
        assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("file", ["config.json", "result.json", "metrics.jsonl", "provenance.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_damaged_files_are_named_set_aside_and_rewritten(file, data, tmp_path):
    folder = tiny.folder(tmp_path)
    run(short(max_epochs=1), folder)
    before = {name: folder.store.read(f"run/{name}") for name in folder.store.names("run")}
    if file == "provenance.json":  # it is read only if there is something to do
        folder.store.delete("run/result.json")
    folder.store.write(f"run/{file}", data)
    with expect_log("lvae.run_folder", f"run/{file}: damaged, .*; set aside as {file}.damaged-1"):
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
    with expect_log("lvae.run_folder") as caught:
        run(short(max_epochs=1), folder)
    assert "set aside as metrics.jsonl.damaged-1" in caught[0].getMessage()
    assert "no checkpoint tells what was in it. The result stands" in caught[1].getMessage()
    assert folder.store.read("run/result.json") == result


@pytest.mark.parametrize("file", ["config.json", "checkpoint.pt"])
def test_what_a_newer_version_wrote_is_refused_and_stays_as_it_is(file, tmp_path):
    config, folder = short(), tiny.folder(tmp_path)
    work = execute(config, CORPUS, folder, OFTEN)
    next(work)
    work.close()
    if file == "config.json":
        values = unseal((tmp_path / "run/config.json").read_bytes())
        values["config"]["field_of_the_future"] = 3
        folder.write_json(file, values | {"fingerprint": "ab" * 32})
    else:
        values = load_checkpoint(folder).to_dict() | {"field_of_the_future": 3}
        buffer = io.BytesIO()
        torch.save(values, buffer)
        folder.write_payload(file, buffer.getvalue())
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(DamagedError) as caught:
        run(config, folder)
    assert str(caught.value).startswith(f"{folder}/{file}: written by a newer version of this code (")
    assert "field_of_the_future" in str(caught.value)
    assert str(caught.value).endswith("); update this checkout, or give another folder")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("reports", range(1, 10))
def test_a_former_holder_of_the_run_overwrites_no_file(reports, tmp_path):
    config, folder = short(), tiny.folder(tmp_path)
    work = execute(config, CORPUS, folder, OFTEN)
    for _ in range(reports):
        next(work)
    folder.store.delete("run/claim-1.json")  # another process took it over, and has ended
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"of another process")
    with pytest.raises(ClaimLostError):
        list(work)
    assert {path.read_bytes() for path in (tmp_path / "run").iterdir()} == {b"of another process"}


def test_the_failure_beside_a_result_is_cleared(tmp_path):
    config, folder = short(), tiny.folder(tmp_path)
    run(config, folder)
    folder.write_failure("code", "m", "t")
    run(config, folder)
    assert not folder.has("failure.json")


def test_a_run_that_resumes_from_its_previous_checkpoint_ends_with_a_checkpoint(tmp_path):
    config, folder = short(), tiny.folder(tmp_path)
    work = execute(config, CORPUS, folder, OFTEN)
    while next(work).phase == "train":
        pass
    work.close()
    (tmp_path / "run/checkpoint.pt").rename(tmp_path / "run/checkpoint.previous.pt")
    run(config, folder)
    assert folder.has("checkpoint.pt")
    assert load_checkpoint(folder).epoch == folder.read_json("result.json")["epochs"]


def test_half_written_files_of_a_killed_process_are_set_aside(tmp_path):
    folder = tiny.folder(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".checkpoint.pt.0123456789abcdef").write_bytes(b"half")
    with expect_log("lvae.run_folder", r"run/\.checkpoint\.pt\.0123456789abcdef: left half-written"):
        run(short(max_epochs=1), folder)
    assert folder.store.read("run/checkpoint.pt.partial-1") == b"half"
    assert folder.has("result.json")


class Completing(LocalStore):
    """A store in which another process completes its temporary files once they have been listed."""

    def leftovers(self, folder):
        found = super().leftovers(folder)
        for name in found:
            self.rename(f"{folder}/{name}", f"{folder}/{name[1:].rpartition('.')[0]}")
        return found


def test_a_file_that_is_completed_meanwhile_is_not_set_aside(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".claim-7.json.0123456789abcdef").write_bytes(b"{}")
    folder = RunFolder(Completing(tmp_path), "run")
    folder.set_leftovers_aside()
    assert folder.store.names("run") == ["claim-7.json"]


def test_rows_that_contradict_the_checkpoint_are_damage(tmp_path):
    folder = tiny.folder(tmp_path)
    stop_after_an_epoch(folder)
    rows = folder.read_metrics()
    folder.write_metrics([{**rows[0], "valid_nll": 0.5}, *rows[1:]])
    with expect_log("lvae.run_folder", "metrics.jsonl: damaged, not the rows of the checkpoint"):
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
def test_a_result_of_another_run_is_not_used(values, tmp_path):
    folder = tiny.folder(tmp_path)
    folder.write_json("result.json", values)
    with pytest.raises(DamagedError, match=r"run/result.json: not the result of this run"):
        run(short(), folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"learning_rate": 1e38, "max_grad_norm": 0.0},
            r"not finite in epoch 1, by step \d+; try a lower",
        ),
        # The loss stays finite, and at more than 709 nats per token the perplexity exceeds every float.
        (
            {"system": "lstm-lm", "learning_rate": 1e6, "max_grad_norm": 0.0, "max_steps": 1},
            "validation perplexity is inf in epoch 1; try a lower learning_rate",
        ),
    ],
)
def test_a_diverged_run_is_reported_and_leaves_no_result(fields, says, tmp_path):
    folder = tiny.folder(tmp_path)
    for _ in range(2):  # again, from the files of the first attempt
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


def test_only_changes_of_tracked_files_make_a_commit_dirty(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    module = tmp_path / "lvae_core" / "training" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.write_text("a = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(module))
    (tmp_path / "run.json").write_text("{}")
    commit = provenance._commit.__wrapped__
    assert commit()["dirty"] is False
    module.write_text("a = 2\n")
    assert commit()["dirty"] is True
