"""The training state to and from disk: every bit of it, or a warning and a fresh start; never code."""

import dataclasses
import io
import pickle
import random
from pathlib import Path

import pytest
import torch

from lvae_core.evaluation.evaluate import EvaluationState
from lvae_core.training.optimisation.learning_rate import RateState
from lvae_core.training.state import TrainState, copy_parameters, load_checkpoint, save_checkpoint

from ...logs import expect_log
from .. import tiny


def some_state() -> TrainState:
    model = tiny.double_model(tiny.config(share_embeddings=True), 5).float()
    best = {name: value * 1.1 for name, value in copy_parameters(model).items()}
    return TrainState(
        fingerprint="f" * 64,
        parameters=copy_parameters(model),
        best_parameters=best,
        rate=RateState(0.1, best=12.5, best_epoch=3, without_improvement=2),
        vocabulary=["</s>", "é", "b"],
        epoch=4,
        batch=7,
        step=99,
        sums=torch.tensor([1.0, 1 / 3, 2.5, 4.0], dtype=torch.float64),
        metrics=[{"epoch": 1, "valid_ppl": 0.1 + 0.2}],
        evaluation=EvaluationState(1, torch.arange(14, dtype=torch.float64).view(2, 7) / 3),
        optimiser={"output.weight": {"steps": 3, "first": torch.ones(2), "second": torch.zeros(2)}},
        memory={"aggressive": True, "information": [0.5, 0.9]},
        train_seconds=1.25,
        evaluate_seconds=0.5,
    )


def assert_equal(actual, expected) -> None:
    if isinstance(expected, torch.Tensor):
        assert actual.dtype is expected.dtype
        assert torch.equal(actual, expected)
    elif isinstance(expected, EvaluationState):
        assert_equal(vars(actual), vars(expected))
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_equal(actual[key], expected[key])
    else:
        assert actual == expected
        assert type(actual) is type(expected)


@pytest.mark.parametrize("place", ["local", "memory"])
def test_every_bit_comes_back(place, tmp_path):
    folder = tiny.folder(tmp_path if place == "local" else "memory://test-state")
    state = some_state()
    save_checkpoint(folder, state)
    loaded = load_checkpoint(folder)
    assert [f.name for f in dataclasses.fields(TrainState)] == list(state.to_dict())
    for f in dataclasses.fields(TrainState):
        assert_equal(getattr(loaded, f.name), getattr(state, f.name))


def test_a_state_at_its_start_comes_back(tmp_path):
    state = TrainState("f" * 64, {}, {}, RateState(1.0), [])
    save_checkpoint(tiny.folder(tmp_path), state)
    loaded = load_checkpoint(tiny.folder(tmp_path))
    assert loaded.evaluation == EvaluationState()
    assert loaded.optimiser == loaded.memory == {}
    assert loaded.rate == RateState(1.0)  # whose best is infinite
    assert_equal(loaded.sums, torch.zeros(4, dtype=torch.float64))


def test_a_checkpoint_from_before_the_slots_of_steps_and_optimisers_loads(tmp_path):
    folder, state = tiny.folder(tmp_path), some_state()
    values = state.to_dict()
    evaluation = values.pop("evaluation")
    for slot in ("optimiser", "memory"):
        values.pop(slot)
    older = {"statistics": evaluation["statistics"], "evaluated_batches": evaluation["batches"]}
    folder.write_checkpoint(saved(values | older))
    loaded = load_checkpoint(folder)
    assert_equal(loaded.evaluation, state.evaluation)
    assert_equal(loaded.parameters, state.parameters)
    assert loaded.optimiser == loaded.memory == {}
    assert loaded.step == 99


def test_a_checkpoint_from_before_there_were_schedules_loads(tmp_path):
    folder, state = tiny.folder(tmp_path), some_state()
    values = state.to_dict()
    del values["rate"]
    kept = {"learning_rate": 0.1, "best": 12.5, "best_epoch": 3, "without_improvement": 2}
    folder.write_checkpoint(saved(values | {"plateau": kept}))
    assert load_checkpoint(folder).rate == state.rate


def test_initial_states_share_no_memory():
    a, b = (TrainState("f" * 64, {}, {}, RateState(1.0), []) for _ in range(2))
    a.sums += 1
    a.metrics.append({})
    assert float(b.sums.sum()) == 0
    assert b.metrics == []


def test_without_a_checkpoint_there_is_no_state(tmp_path):
    assert load_checkpoint(tiny.folder(tmp_path)) is None


def damage(data: bytes) -> dict[str, bytes]:
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    return {
        "flipped": bytes(flipped),
        "cut": data[: len(data) // 2],
        "empty": b"",
        "headless": data.partition(b"\n")[2],
        "longer": data + b"x",
    }


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "headless", "longer"])
def test_damage_is_reported_and_set_aside(how, tmp_path):
    folder = tiny.folder(tmp_path)
    save_checkpoint(folder, some_state())
    damaged = damage(folder.store.read("run/checkpoint.pt"))[how]
    folder.store.write("run/checkpoint.pt", damaged)
    with expect_log("lvae.run_folder") as caught:
        assert load_checkpoint(folder) is None
    assert caught[0].getMessage() == (
        f"{folder}/checkpoint.pt: damaged, its SHA-256 does not match; set aside as checkpoint.pt.damaged-1"
    )
    assert folder.store.names("run") == ["checkpoint.pt.damaged-1"]
    assert folder.store.read("run/checkpoint.pt.damaged-1") == damaged
    assert load_checkpoint(folder) is None


class Trap:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# torch remarks on pickles that are not its own before it refuses them.
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("how", ["pickle", "torch", "inside a state"])
def test_code_in_a_checkpoint_is_refused_and_never_run(how, tmp_path):
    folder, sprung = tiny.folder(tmp_path), tmp_path / "sprung"
    buffer = io.BytesIO()
    if how == "pickle":
        buffer.write(pickle.dumps(Trap(sprung)))
    elif how == "torch":
        torch.save(Trap(sprung), buffer)
    else:
        torch.save({**some_state().to_dict(), "vocabulary": [Trap(sprung)]}, buffer)
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works"
    sprung.unlink()

    folder.write_checkpoint(buffer.getvalue())  # with a digest in order
    with expect_log("lvae.run_folder", "not a training state"):
        assert load_checkpoint(folder) is None
    assert not sprung.exists()
    assert folder.store.names("run") == ["checkpoint.pt.damaged-1"]


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_no_content_with_a_valid_digest_can_crash_the_load(tmp_path):
    folder = tiny.folder(tmp_path)
    values = [[], {}, 3, "a", None, torch.zeros(3), {"plateau": {}}, {"rate": [1]}, [("rate", 1)]]
    payloads = [saved(value) for value in values]
    # Random bytes, alone and behind openings that send the reader down different paths.
    source = random.Random(0)
    openings = [b"", b"\x80\x02", b"PK\x03\x04", pickle.dumps([1, {"a": 2}], 2)[:9]]
    payloads += [source.choice(openings) + source.randbytes(source.randrange(60)) for _ in range(300)]
    payloads += [payloads[0][:n] for n in range(0, len(payloads[0]), 37)]
    for number, payload in enumerate(payloads, start=1):
        folder.write_checkpoint(payload)
        with expect_log("lvae.run_folder", "not a training state") as caught:
            assert load_checkpoint(folder) is None, payload
        message = caught[-1].getMessage()
        assert "\n" not in message
        aside = message.partition("set aside as ")[2].partition(",")[0]
        assert number == 1 or folder.store.names("run") == [aside]
        folder.store.delete(f"run/{aside}")


@pytest.mark.parametrize(
    ("fields", "finished"),
    [
        ({"epoch": 0}, False),
        ({"epoch": 29}, False),
        ({"epoch": 30}, True),
        ({"epoch": 5, "misses": 2}, False),
        ({"epoch": 5, "misses": 3}, True),
        ({"epoch": 5, "step": 10**6}, False),
    ],
)
def test_training_is_finished_by_epochs_or_patience(fields, finished):
    config = tiny.config(max_epochs=30, patience=3)
    state = TrainState(
        "f" * 64,
        {}, {}, RateState(1.0, without_improvement=fields.get("misses", 0)), [],
        epoch=fields["epoch"], step=fields.get("step", 0),
    )  # fmt: skip
    assert state.finished_training(config) is finished


def test_training_is_finished_by_steps_after_the_epoch_is_scored():
    config = tiny.config(max_steps=10)
    state = TrainState("f" * 64, {}, {}, RateState(1.0), [], step=10, batch=3)
    assert not state.finished_training(config), "an epoch cut short is still to be validated"
    state.batch = 0
    assert state.finished_training(config)


def test_copied_parameters_do_not_change_with_the_originals():
    model = tiny.double_model(tiny.config(), 5)
    copy = copy_parameters(model)
    before = {name: value.clone() for name, value in copy.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert_equal(copy, before)
    assert not any(value.requires_grad for value in copy.values())


def test_a_checkpoint_of_another_run_is_set_aside(tmp_path):
    folder = tiny.folder(tmp_path)
    save_checkpoint(folder, some_state())
    with expect_log("lvae.run_folder", "of another run"):
        assert load_checkpoint(folder, "e" * 64) is None
    assert folder.has("checkpoint.pt.damaged-1")
    save_checkpoint(folder, some_state())
    assert load_checkpoint(folder, "f" * 64) is not None
