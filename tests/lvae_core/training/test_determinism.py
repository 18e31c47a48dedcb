"""Same run, same bits: repeated, suspended, killed, in another process, alongside and after others."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import epoch_order
from lvae_core.run_folder.folder import RunFolder, reproducible
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

from ...logs import expect_log
from .. import tiny

CORPUS = tiny.corpus()
EVERY_STEP = Runtime(progress_seconds=0)

# With this rate the second of three epochs is worse than the first.
RELOADING = {"learning_rate": 3.0, "lr_decay_from": 1, "reload_after": 1}

CASES = [
    ("lstm-lm", "standard", {}),
    ("lstm-vae", "standard", {"word_dropout": 0.2}),
    ("lstm-vae-avg", "inputless", {"batching": "shuffled"}),
    ("lstm-vae", "standard", {"optimiser": "adam", "learning_rate": 0.03}),
    ("lstm-vae", "standard", {"mu_batch_norm": 0.6}),
    ("lstm-vae", "standard", {"optimiser": "adam", "lr_schedule": "reload_best", **RELOADING}),
    ("sa-vae", "standard", {"svi_step_size": 8.0, "svi_steps": 4}),
]


def short(system: str = "lstm-vae", **fields) -> RunConfig:
    """Three epochs of three batches, two of validation, two of the final evaluation; dropout on."""
    base = {"batch_size": 4, "max_epochs": 3, "iw_samples": 3, "mi_samples": 2, "eval_batch_size": 2}
    base |= {"learning_rate": 3.0, "dropout_encoder": True, "dropout_latent_input": True}
    return tiny.config(system, **(base | fields))


def outcome(folder: RunFolder) -> tuple[bytes, str]:
    """Return the values that must be the same to the last bit."""
    result = folder.read_json("result.json")
    assert result is not None
    return folder.store.read(f"{folder.name}/metrics.jsonl"), json.dumps(reproducible(result))


def finish(config: RunConfig, folder: RunFolder, runtime: Runtime = EVERY_STEP) -> int:
    """Run to the end; the number of yields."""
    return sum(1 for _ in execute(config, CORPUS, folder, runtime))


def stop_after(yields: int, config: RunConfig, folder: RunFolder, runtime: Runtime = EVERY_STEP) -> bool:
    """Close the run after some yields; whether it had come to its end."""
    run = execute(config, CORPUS, folder, runtime)
    for _ in range(yields):
        if next(run).phase == "done":
            return True
    run.close()
    return False


@pytest.fixture
def memory() -> Iterator[str]:
    """A place without a disk, for tests that write thousands of files."""
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("system", "setting", "fields"),
    # test_every_system.py stops sa-vae, too.
    [pytest.param(*case, marks=pytest.mark.slow) if case[0] == "sa-vae" else case for case in CASES],
)
def test_closed_anywhere_and_resumed_is_the_same_run(system, setting, fields, every, memory):
    config = short(system, setting=setting, **fields)
    whole = tiny.folder(memory, "whole")
    yields = finish(config, whole)
    # 3 × (3 steps, 3 batches of validation, the row), 2 batches of evaluation, the end: everywhere.
    assert yields == 3 * (3 + 3 + 1) + 2 + 1
    expected = outcome(whole)
    for k in range(1, yields, every):
        folder = tiny.folder(memory, f"closed-{k}")
        assert not stop_after(k, config, folder)
        assert not folder.has("result.json")
        finish(config, folder)
        assert outcome(folder) == expected, k


@pytest.mark.slow  # test_every_system.py does this with other fields
@pytest.mark.parametrize(("system", "setting", "fields"), CASES)
def test_a_run_closed_repeatedly_is_the_same_run(system, setting, fields, memory):
    config = short(system, setting=setting, **fields)
    whole, often = tiny.folder(memory, "whole"), tiny.folder(memory, "often")
    finish(config, whole)
    # Shorter than a validation of three batches: an attempt that restarted it would never end it.
    attempts = 1
    while not stop_after(2, config, often):
        attempts += 1
        assert attempts < 50
    assert attempts > 10
    assert outcome(often) == outcome(whole)


@pytest.mark.parametrize(
    "runtime",
    [
        Runtime(progress_seconds=0, checkpoint_seconds=0),
        pytest.param(
            Runtime(progress_seconds=0, checkpoint_epochs=2, checkpoint_seconds=1e9), marks=pytest.mark.slow
        ),
        pytest.param(
            Runtime(progress_seconds=0, checkpoint_epochs=100, checkpoint_seconds=1e9),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["checkpoint at every yield", "every second epoch", "at the end"],
)
def test_killed_anywhere_and_resumed_is_the_same_run(runtime, memory):
    """A copy of the folder, taken in between, is what a process killed there leaves behind."""
    config = short("lstm-vae-avg")
    whole = tiny.folder(memory, "whole")
    copies = []
    for k, _ in enumerate(execute(config, CORPUS, whole, runtime)):
        copy = tiny.folder(memory, f"killed-{k}")
        for file in whole.store.names("whole"):
            copy.store.write(f"{copy.name}/{file}", whole.store.read(f"whole/{file}"))
        copies.append(copy)
    expected = outcome(whole)
    for folder in copies:
        finish(config, folder, runtime)
        assert outcome(folder) == expected, folder.name


def test_a_damaged_checkpoint_changes_no_number(tmp_path):
    config = short()
    whole, damaged = tiny.folder(tmp_path, "whole"), tiny.folder(tmp_path, "damaged")
    finish(config, whole)
    stop_after(12, config, damaged)
    data = bytearray(damaged.store.read("damaged/checkpoint.pt"))
    data[len(data) // 3] ^= 4
    damaged.store.write("damaged/checkpoint.pt", bytes(data))
    with expect_log("lvae.run_folder", r"set aside as checkpoint.pt.damaged-1"):
        finish(config, damaged)
    assert outcome(damaged) == outcome(whole)
    assert damaged.store.read("damaged/checkpoint.pt.damaged-1") == bytes(data)


def test_reporting_and_saving_intervals_change_no_number(tmp_path):
    config = short("lstm-vae-avg", deterministic=False)
    results = set()
    for k, runtime in enumerate(
        [
            EVERY_STEP,
            Runtime(),
            Runtime(checkpoint_seconds=0),
            Runtime(progress_seconds=0, checkpoint_epochs=3),
        ]
    ):
        finish(config, tiny.folder(tmp_path, f"run-{k}"), runtime)
        results.add(outcome(tiny.folder(tmp_path, f"run-{k}")))
    assert len(results) == 1


def test_a_run_after_and_between_others_is_unaffected(tmp_path):
    config = short()
    others = [short("lstm-lm", seed=5), short("lstm-vae-avg", setting="inputless", deterministic=False)]
    alone, after, between = (tiny.folder(tmp_path, name) for name in ("alone", "after", "between"))
    finish(config, alone)
    for k, other in enumerate(others):
        finish(other, tiny.folder(tmp_path, f"other-{k}"))
    finish(config, after)
    # Step by step in turns with another run in the same process.
    beside = execute(others[0], CORPUS, tiny.folder(tmp_path, "beside"), EVERY_STEP)
    for _ in execute(config, CORPUS, between, EVERY_STEP):
        next(beside, None)
    assert outcome(alone) == outcome(after) == outcome(between)
    assert outcome(tiny.folder(tmp_path, "beside")) == outcome(tiny.folder(tmp_path, "other-0"))


def test_only_the_seed_changes_the_numbers(tmp_path):
    finish(short(seed=1), tiny.folder(tmp_path, "a"))
    finish(short(seed=1), tiny.folder(tmp_path, "b"))
    finish(short(seed=2), tiny.folder(tmp_path, "c"))
    a, b, c = (tiny.folder(tmp_path, name) for name in "abc")
    assert outcome(a) == outcome(b)
    assert outcome(a)[0] != outcome(c)[0]


def test_global_randomness_is_neither_used_nor_changed(tmp_path):
    def states() -> list[str]:
        values = (random.getstate(), np.random.get_state(), torch.random.get_rng_state().tolist())
        return [hashlib.sha256(repr(value).encode()).hexdigest() for value in values]

    outcomes = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = states()
        folder = tiny.folder(tmp_path, f"run-{seed}")
        finish(short(dropout=0.5, word_dropout=0.1), folder)
        assert states() == before
        outcomes.append(outcome(folder))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("batching", ["bucketed", "shuffled", "equal_length"])
def test_batch_order_is_a_function_of_seed_and_epoch(batching):
    lengths = CORPUS.train.lengths

    def order(seed: int, epoch: int) -> str:
        return str([batch.tolist() for batch in epoch_order(lengths, 4, batching, seed, epoch)])

    orders = {(seed, epoch): order(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    np.random.seed(1)
    assert all(order(*key) == value for key, value in orders.items())


# --- other processes ---

RUN = """
import sys
import numpy as np
from lvae_core.config import RunConfig, from_dict
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.store import open_store
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
import json
place, name, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
given = json.load(sys.stdin)
splits = [Split(np.array(t, dtype=np.int32), np.array(o, dtype=np.int64)) for t, o in given["splits"]]
corpus = Corpus("toy", Vocabulary(tuple(given["words"]), None), *splits, given["sha256"], ())
folder = RunFolder(open_store(place), name)
runtime = Runtime(progress_seconds=0, checkpoint_seconds=0)
import time
for progress in execute(from_dict(given["config"]), corpus, folder, runtime):
    print(progress.phase, progress.step, flush=True)
    time.sleep(delay)
"""


def start(config: RunConfig, place: Path, name: str, *, delay: float = 0.0) -> subprocess.Popen:
    splits = (CORPUS.train, CORPUS.valid, CORPUS.test)
    given = {
        "config": config.to_dict(),
        "splits": [(s.tokens.tolist(), s.offsets.tolist()) for s in splits],
        "words": CORPUS.vocabulary.words,
        "sha256": CORPUS.data_sha256,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(place), name, str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    return process


def test_a_run_killed_by_sigkill_resumes_to_the_same_bits(tmp_path):
    config = short("lstm-vae-avg", max_epochs=4)
    whole = tiny.folder(tmp_path, "whole")
    finish(config, whole)
    with start(config, tmp_path, "killed", delay=0.1) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "train 5\n":
                    break
            time.sleep(0.1)  # into the work between two reports, or near it
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    killed = tiny.folder(tmp_path, "killed")
    assert not killed.has("result.json")
    assert killed.has("checkpoint.pt")
    # The rest in a third process: nothing of the first two is in it.
    with start(config, tmp_path, "killed") as process:
        out = process.stdout.read()
    assert process.returncode == 0
    assert out.startswith("train ")
    assert int(out.split()[1]) > 5, "it resumed instead of restarting"
    assert outcome(killed) == outcome(whole)
    assert len(killed.read_json("provenance.json")["attempts"]) == 2
