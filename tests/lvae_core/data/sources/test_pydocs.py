"""The pydocs corpus: prose without code, sentences, tokens, and fixed splits that do not overlap."""

import os
import re
import subprocess
import sys

import pytest

from lvae_core.data.sources import pydocs
from lvae_core.data.text_files import SPLITS

DOCUMENT = """\
The "with" statement
********************

The "with" statement doesn't run more than 3 times, i.e. Python's
*context manager* stops it. [1] This isn’t all: see "sys.exc_info()" and the well-
known "__exit__()" method!

   with_stmt ::= "with" expression

The following code:

   with EXPRESSION as TARGET:
       SUITE

str.count(sub[, start[, end]])

   Return the number of occurrences.  *end* is optional.  Calling "f(x, y=1)" is not prose.

   Changed in version 3.11: Keywords (or any names) are allowed.

* A list item can be
  two lines long.

term
   Explained below it, as a definition.

+-------+-------+
| A row | here. |
+-------+-------+

   >>> print("A doctest is no sentence.")

See https://example.org/a/page.
"""


def test_the_sentences_of_a_document_are_its_prose_tokenised() -> None:
    assert list(pydocs.sentences_of(DOCUMENT)) == [
        "the with statement does n't run more than N times , i.e. python 's context manager stops it .",
        "this is n't all : see sys.exc_info and the well-known __exit__ method !",
        "return the number of occurrences .",
        "end is optional .",
        "keywords ( or any names ) are allowed .",
        "a list item can be two lines long .",
        "explained below it , as a definition .",
    ]


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("It holds 1,024 or -2.5 of 3 items.", "it holds N or N of N items ."),
        ("Python 3 has PEP 604, unlike 2.x.", "python N has pep N , unlike N ."),
        ("The 3rd argument is 0.5 or 0x1f.", "the 3rd argument is N or N ."),
        ("They're the users' files (see below).", "they 're the users ' files ( see below ) ."),
        ("It can't, won't and shouldn't.", "it ca n't , wo n't and should n't ."),
        ("The name “None” is a *built-in* one.", "the name none is a built-in one ."),
        ("The 'floor' of 64-bit users' ‘clauses.’", "the floor of N-bit users ' clauses ."),
        ("without a capital it is a fragment.", ""),
        ("An open end leaves a fragment:", ""),
        ("The sum x + y is code.", ""),
    ],
)
def test_a_sentence_is_tokenised_like_the_penn_treebank(sentence: str, tokens: str) -> None:
    assert " ".join(pydocs.tokenize(sentence)) == tokens


def test_splits_are_8_1_1_and_share_no_sentence() -> None:
    lines = {split: pydocs.read(split).lines for split in SPLITS}
    everything = [line for split in SPLITS for line in lines[split]]
    assert len(everything) > 1000
    assert len(set(everything)) == len(everything)
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(lines[split]) / len(everything) - share) < 0.04


def test_every_sentence_is_lower_case_prose_of_3_to_60_tokens() -> None:
    token = re.compile(r"N(-\w+)*|[a-z0-9_]['\w.-]*(-N[\w.-]*)?|'[a-z]*|[.,;:?!()/-]|\.\.\.")
    for split in SPLITS:
        for sentence in pydocs.read(split).sentences():
            assert 3 <= len(sentence) <= 60, sentence
            assert all(token.fullmatch(t) for t in sentence), sentence


def test_another_process_reads_the_same_text() -> None:
    program = "from lvae_core.data.sources import pydocs; print(pydocs.read('test').sha256)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "77"},
    )
    assert done.stdout.strip() == pydocs.read("test").sha256
