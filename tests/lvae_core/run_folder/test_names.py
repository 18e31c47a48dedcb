"""Names of runs and cells: written, parsed and told from other files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.names import CellName, RunName, run_name

HEX = fingerprint(RunConfig(), "d" * 64)


labels = st.from_regex(r"[A-Za-z0-9-][A-Za-z0-9.-]{0,6}(_[A-Za-z0-9.-]{1,6}){0,2}", fullmatch=True)
systems = st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True)
settings = st.sampled_from(["standard", "inputless"])
counts = st.integers(min_value=1, max_value=10**5)
seeds = st.integers(min_value=0, max_value=10**18 - 1)
prints = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(labels, systems, settings, counts, seeds, prints)
def test_parsing_a_run_name_returns_the_parts_it_was_made_from(
    label, system, setting, samples, seed, print_
):
    config = RunConfig(
        dataset=f"somewhere/{label}", system=system, setting=setting, num_samples=samples, seed=seed
    )
    name = run_name(config, print_)
    parts = RunName.parse(name)
    assert parts == RunName(CellName(label, system, setting, samples), seed, print_[:8])
    assert str(parts) == name
    assert "/" not in name
    assert not name.startswith(".")


@given(
    st.text(max_size=60) | st.from_regex(r".{0,9}__.{1,5}__standard__L\d{1,3}__seed\d{1,3}__[0-9a-f]{8}")
)
def test_a_parsed_name_is_written_as_it_was_read(text):
    parts = RunName.parse(text)
    assert parts is None or str(parts) == text


@pytest.mark.parametrize(
    "name",
    [
        "", "ptb", "config.json", "result.json.damaged-1",
        "ptb__lstm-vae__standard__L1__seed0", "ptb__lstm-vae__standard__L1__seed0__0123abc",
        "ptb__lstm-vae__standard__L1__seed0__0123ABCD", "ptb__lstm-vae__other__L1__seed0__0123abcd",
        "ptb__lstm_vae__standard__L1__seed0__0123abcd", "__lstm-vae__standard__L1__seed0__0123abcd",
        "ptb__lstm-vae__standard__L__seed0__0123abcd", "ptb__lstm-vae__standard__L1__seed-1__0123abcd",
        "ptb__lstm-vae__standard__L01__seed0__0123abcd", "ptb__lstm-vae__standard__L1__seed٣__0123abcd",
        "ptb__lstm-vae__standard__L1__seed0__0123abcd\n",
    ],
)  # fmt: skip
def test_names_of_other_files_are_not_run_names(name):
    assert RunName.parse(name) is None


def test_the_name_of_a_cell_has_no_seed_and_can_be_parsed():
    cells = {CellName.of(RunConfig(dataset="x/ptb", seed=seed, num_samples=5)) for seed in range(3)}
    (cell,) = cells
    assert str(cell) == "ptb__lstm-vae__standard__L5"
    assert cell.words == "ptb, lstm-vae, standard, L5"
    assert CellName.parse(str(cell)) == cell
    with pytest.raises(ValueError, match="not the name of a cell"):
        CellName.parse("ptb__lstm-vae__standard")
