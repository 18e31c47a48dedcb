"""The benchmark of checkpoints leaves nothing where it wrote them, even if it is stopped."""

import checkpoint_overhead
import pytest
from checkpoint_overhead import empty_study, measure_saves

from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from lvae_core.training.state import save_checkpoint


def stopped_at_the_third(monkeypatch, written):
    """Let Ctrl-C come during the third checkpoint."""

    def save(folder, state):
        if len(written) == 2:
            raise KeyboardInterrupt
        save_checkpoint(folder, state)
        written.append(folder.store.names(folder.name))

    monkeypatch.setattr(checkpoint_overhead, "save_checkpoint", save)


def test_a_stopped_measurement_leaves_nothing_in_a_folder(tmp_path, monkeypatch):
    stopped_at_the_third(monkeypatch, written := [])
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyboardInterrupt), empty_study(str(tmp_path)) as study:
        measure_saves(recipe("lstm-lm"), 23, study, 3)
    assert "checkpoint.pt" in written[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_stopped_measurement_leaves_no_file_at_an_address(monkeypatch):
    stopped_at_the_third(monkeypatch, written := [])
    address = "memory://checkpoint-overhead"
    with pytest.raises(KeyboardInterrupt), empty_study(address) as study:
        measure_saves(recipe("lstm-lm"), 23, study, 3)
    assert "checkpoint.pt" in written[0]
    store = Study(address).store
    assert [name for folder in store.names() for name in store.names(folder)] == []
