"""One rule splits text into tokens, in files and in sentences that users type."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lvae_core.data.text_files import read_file
from lvae_core.data.tokens import split_tokens
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError

# Unicode's white space beyond ASCII, and separators that str.split or str.splitlines would act on.
INSIDE_WORDS = "\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\x85\x1c\x1d\x1e\x1f"


def test_ascii_white_space_ends_a_token_and_no_other() -> None:
    assert split_tokens(" a\tb\n\r\x0b\x0cc  d ") == ["a", "b", "c", "d"]
    for character in INSIDE_WORDS:
        assert split_tokens(f"a {character}b c{character}d") == ["a", f"{character}b", f"c{character}d"]
    assert split_tokens(" \t") == split_tokens("") == []


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("ab \t\x0b\x0cé" + INSIDE_WORDS) | st.characters(codec="utf-8"), max_size=30)
)
def test_a_sentence_in_a_file_and_one_that_is_typed_become_the_same_ids(
    tmp_path_factory: pytest.TempPathFactory, sentence: str
) -> None:
    assume(not set("\0\r\n") & set(sentence))  # they end a line, or are refused in files
    tokens = split_tokens(sentence)
    assume(tokens)
    path = Path(tmp_path_factory.getbasetemp()) / "train.txt"
    path.write_bytes(f"a b\n{sentence}\n".encode())
    in_file = list(read_file(path).sentences())[1]
    vocabulary = Vocabulary.build([["a", "b"], in_file])
    assert vocabulary.encode(in_file) == vocabulary.encode(tokens)
    # What generate prints of the file's sentence can be given to it again.
    assert split_tokens(" ".join(vocabulary.decode(vocabulary.encode(in_file)))) == in_file


def test_a_sentence_that_is_not_utf8_is_refused_in_one_line() -> None:
    typed = b"a \xff b".decode("utf-8", "surrogateescape")
    with pytest.raises(InputError, match=r"^sentence 'a \\udcff b': it is not UTF-8; "):
        split_tokens(typed)


def test_the_refusal_of_a_long_text_shows_only_what_is_near_the_fault() -> None:
    with pytest.raises(InputError) as caught:
        split_tokens("word " * 10_000 + "a \udcff b" + " word" * 10_000)
    assert " a \\udcff b " in str(caught.value)
    assert len(str(caught.value)) < 150
