"""``generate`` shows sentences of the data that the run was trained on, and says what they are worth."""

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


A, B = "the cat sat on the mat\n", "the dog ran in the park\n"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(5 * A + 9 * B, id="the same words in another order"),
        pytest.param(9 * A + 5 * B + 40 * "zebra zebra walks walks\n", id="more words"),
        pytest.param("".join(f"n{i} n{i}\n" for i in range(200)) + A + B, id="far more words"),
    ],
)
def test_sentences_of_a_changed_corpus_are_refused(
    tmp_path: Path, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, text in (("train", 9 * A + 5 * B), ("valid", A + B), ("test", A + B)):
        (tmp_path / f"{split}.txt").write_text(text)
    run = trained(tmp_path)
    before = notes(capsys, run)[0]
    assert f"  {A}" in before
    (tmp_path / "train.txt").write_text(changed)
    assert main(["generate", run]) == 2
    assert capsys.readouterr() == (
        "",
        f"error: {run}: trained on other data than {tmp_path.name} holds now; give the --data-dir that "
        "it was trained with, or --sentence\n",
    )
    assert f"  {A}" in notes(capsys, run, "--sentence", A.strip())[0]
    (tmp_path / "train.txt").write_text(9 * A + 5 * B)
    assert notes(capsys, run)[0] == before


def test_values_that_begin_with_a_dash_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("-lrb- a b\nb -lrb-\n")
    run = trained(tmp_path)
    assert "  -lrb-\n" in notes(capsys, run, "--sentence=-lrb-")[0]
    shown = notes(capsys, run, "--between", " -lrb-", " -lrb- b")[0]
    assert "  (-lrb-)\n" in shown
    assert shown.endswith("  (-lrb- b)\n")
    for words, remedy in (
        (
            ["--sentence", "-lrb-"],
            "expected one argument; a value that begins with - needs OPTION=VALUE; see",
        ),
        (
            ["--between", "-lrb-", "b"],
            "expected 2 arguments; a value that begins with - needs a blank in front",
        ),
    ):
        assert main(["generate", run, *words]) == 2
        assert remedy in capsys.readouterr().err
