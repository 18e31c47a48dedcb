"""The cost of semi-amortised inference: passes through the model, computed gradients, memory."""

import json

import torch

from lvae_core.model.noise import SentenceNoise
from lvae_core.model.text_model import TextModel
from lvae_core.rng import Key
from lvae_core.training.optimisation.objective import objective

from .. import tiny

CLASSES = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]


def test_a_training_step_takes_61_passes_through_the_decoder_and_one_through_the_encoder():
    config = tiny.config("sa-vae", svi_steps=20)
    model = TextModel(config, CLASSES)
    passes = {"decoder": 0, "encoder": 0}
    for name in passes:

        def count(*_, name=name):
            passes[name] += 1

        getattr(model, name).register_forward_hook(count)
    loss = objective(model, tiny.batch(SENTENCES), config, kl_weight=1.0, step=0).loss
    assert passes == {"decoder": 21, "encoder": 1}
    loss.backward()
    assert passes == {"decoder": 61, "encoder": 1}
    passes["decoder"] = 0
    noise = SentenceNoise(
        model.posterior, model.latent_size, [Key(0, "evaluation", (k,)) for k in range(4)]
    )
    with torch.no_grad():
        model.infer(tiny.batch(SENTENCES), noise=noise)
    assert passes["decoder"] == 20


def test_the_steps_make_no_gradient_of_a_parameter(monkeypatch):
    config = tiny.config("sa-vae")
    model = TextModel(config, CLASSES)
    asked = []
    original = model.output.total_log_likelihood
    monkeypatch.setattr(
        model.output,
        "total_log_likelihood",
        lambda *args: asked.append(model.output.weight.requires_grad) or original(*args),
    )
    objective(model, tiny.batch(SENTENCES), config, kl_weight=1.0, step=0).loss.backward()
    assert asked == [False] * 3 + [True] * 7
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_peak_memory_does_not_grow_with_the_number_of_steps(tmp_path):
    def peak(steps: int) -> int:
        config = tiny.config("sa-vae", svi_steps=steps, hidden_size=40, embedding_size=40)
        model, batch = TextModel(config, 50), tiny.batch(tiny.sentences(16, 50, seed=1, longest=30))
        with torch.profiler.profile(profile_memory=True) as profile:
            objective(model, batch, config, kl_weight=1.0, step=0).loss.backward()
        file = tmp_path / f"{steps}.json"
        profile.export_chrome_trace(str(file))
        events = [e for e in json.loads(file.read_text())["traceEvents"] if e.get("name") == "[memory]"]
        assert events
        live = highest = 0
        for event in sorted(events, key=lambda event: event["ts"]):
            live += event["args"]["Bytes"]
            highest = max(highest, live)
        return highest

    few, many = peak(2), peak(12)
    path_and_masks = 10 * (16 * 2 * 2 * 4 + 5056)
    assert many - few < path_and_masks + 0.05 * few


def test_evaluation_decodes_as_many_positions_at_once_as_the_config_allows():
    config = tiny.config("sa-vae", eval_chunk_tokens=20)
    model, batch = TextModel(config, CLASSES), tiny.batch(SENTENCES)  # 4 sentences, of 7 words at most
    decoded = []
    model.decoder.register_forward_hook(lambda module, inputs, states: decoded.append(states.shape[:3]))
    places = SentenceNoise(
        model.posterior, model.latent_size, [Key(0, "evaluation", (k,)) for k in range(4)]
    )
    with torch.no_grad():
        model.infer(batch, noise=places)
    assert decoded == [(1, 2, 7)] * 6  # 3 steps of each half
