"""``generate`` says what to do if its sentences say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvae_core.__main__ import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that has only learnt that </s> is the most frequent token, by far."""
    place = tmp_path_factory.mktemp("generate")
    for number, split in enumerate(("train", "valid", "test")):
        lines = [f"w{(7 * index + number) % 40}\n" for index in range(160)]
        (place / f"{split}.txt").write_text("".join(lines))
    return trained(place)


def trained(place: Path) -> str:
    sizes = ["embedding_size=4", "hidden_size=4", "latent_size=2", "max_epochs=1", "dropout=0"]
    cheap = ["iw_samples=2", "iw_exact_samples=0", "mi_samples=2"]
    with pytest.MonkeyPatch.context() as patch, (place / "run.json").open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["recipe", "lstm-vae", "--dataset", str(place), "--set", *sizes, *cheap]) == 0
    assert main(["run", str(place / "run.json"), "--out", str(place / "run"), "--quiet"]) == 0
    return str(place / "run")


def notes(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["generate", *words]) == 0
    return capsys.readouterr()


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_empty_sentences_are_the_most_probable_ones_and_can_be_drawn_instead(
    run: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "note: the most probable sentence is the empty one; --decode sample draws others"
    out, err = notes(capsys, run, "--decode", method)
    assert out.splitlines()[1] == "  (empty)"
    assert note in err.splitlines()
    out, err = notes(capsys, run, "--decode", "sample")
    assert out.splitlines()[1:6] != ["  (empty)"] * 5
    assert note not in err
