"""Sealed text: every flipped bit, truncation or reordering is detected, and valid text is accepted."""

import contextlib
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvae_core.run_folder.digests import UnsealedError, seal, seal_rows, unseal, unseal_rows

VALUE = {"name": "é\n", "list": [1, 2.5, None, True], "nested": {"b": 1e-300, "a": "x"}}
ROWS = [{"epoch": 1, "ppl": 123.5}, {"epoch": 2, "ppl": 99.25}, {"epoch": 3, "ppl": 0.1}]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
objects = st.dictionaries(st.text().filter(lambda k: k not in ("sha256", "digest")), scalars, max_size=5)


def test_the_digest_of_an_object_is_that_of_its_canonical_json():
    sealed = json.loads(seal(VALUE))
    digest = sealed.pop("sha256")
    assert sealed == VALUE
    canonical = json.dumps(VALUE, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_digests_of_rows_chain_their_canonical_json():
    before = ""
    for line, row in zip(seal_rows(ROWS).decode().splitlines(), ROWS, strict=True):
        text = before + json.dumps(row, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(text.encode()).hexdigest()[:16]
        assert json.loads(line) == {**row, "digest": before}


@given(objects)
def test_unsealing_returns_the_sealed_object(value):
    assert unseal(seal(value)) == value


@given(st.lists(objects, max_size=4))
def test_unsealing_returns_the_sealed_rows(rows):
    assert unseal_rows(seal_rows(rows)) == rows


@settings(max_examples=400)
@given(st.data())
def test_a_flipped_bit_is_detected_or_changes_no_value(data):
    text, read, value = data.draw(
        st.sampled_from([(seal(VALUE), unseal, VALUE), (seal_rows(ROWS), unseal_rows, ROWS)])
    )
    bit = data.draw(st.integers(0, 8 * len(text) - 1))
    flipped = bytearray(text)
    flipped[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(UnsealedError):
        assert read(bytes(flipped)) == value  # the e of an exponent may become E, which is the same value


def test_every_truncation_of_an_object_is_detected():
    text = seal(VALUE)
    for length in range(len(text) - 1):  # without its last newline it is still complete
        with pytest.raises(UnsealedError):
            unseal(text[:length])


def test_truncation_within_a_line_is_detected_and_between_lines_gives_fewer_rows():
    text = seal_rows(ROWS)
    ends = {0, *(i + 1 for i, byte in enumerate(text) if byte == ord("\n"))}
    for length in range(len(text)):
        if length in ends:
            assert unseal_rows(text[:length]) == ROWS[: text[:length].count(b"\n")]
        else:
            with pytest.raises(UnsealedError):
                unseal_rows(text[:length])


@pytest.mark.parametrize("order", [(1, 2), (0, 2), (1, 0, 2), (0, 1, 1)])
def test_missing_and_reordered_rows_are_detected(order):
    lines = seal_rows(ROWS).splitlines(keepends=True)
    with pytest.raises(UnsealedError, match=r"line \d"):
        unseal_rows(b"".join(lines[i] for i in order))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "no sha256"),
        (b'{"a": NaN, "sha256": "0"}', "does not match"),
        (b'{"a": 1, "sha256": 5}', "does not match"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\x00", "not JSON"),
    ],
)
def test_the_error_for_unsealed_text_is_one_line(data, reason):
    with pytest.raises(UnsealedError, match=reason) as caught:
        unseal(data)
    assert "\n" not in str(caught.value)


def test_nan_and_infinity_are_refused():
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Out of range"):
            seal({"a": value})


def test_a_file_with_other_indentation_is_valid():
    again = json.dumps(json.loads(seal(VALUE)), indent=8).encode()
    assert unseal(again) == VALUE
