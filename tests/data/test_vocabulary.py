"""Characters <-> ids: nothing is lost, and the boundary is never a character."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextchar.data.vocabulary import BOUNDARY, UNKNOWN, Characters, Encoder, Vocabulary, selected
from nextchar.errors import BadInput
from nextchar.messages import named, printable

# All of Unicode, lone surrogates included: hypothesis leaves them out unless asked.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@given(ANY_TEXT)
def test_decode_is_the_inverse_of_encode(text: str) -> None:
    vocabulary = Vocabulary.of([text])
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert len(ids) == len(text)
    assert ((ids > BOUNDARY) & (ids < len(vocabulary))).all()


@given(ANY_TEXT, ANY_TEXT)
def test_characters_outside_the_vocabulary_are_unknown_and_no_others(known: str, text: str) -> None:
    ids = Vocabulary.of([known]).encode(text)
    assert [id_ == UNKNOWN for id_ in ids] == [char not in known for char in text]


@given(st.lists(ANY_TEXT, min_size=1, max_size=8))
def test_a_stream_is_the_documents_between_boundaries(documents: list[str]) -> None:
    vocabulary = Vocabulary.of(documents)
    expected = [BOUNDARY]
    for document in documents:
        expected += [vocabulary.characters.index(char) + 1 for char in document] + [BOUNDARY]
    assert vocabulary.stream(documents).tolist() == expected


@given(st.lists(ANY_TEXT, max_size=6))
def test_new_characters_come_with_their_first_place(texts: list[str]) -> None:
    seen, before = Characters(), ""
    for text in texts:
        assert seen.new_in(text) == {c: text.index(c) for c in text if c not in before}
        before += text
    assert seen.characters == "".join(sorted(set(before)))


@given(ANY_TEXT, ANY_TEXT)
def test_an_encoder_marks_the_unknown_and_what_is_selected_is_the_known(known: str, text: str) -> None:
    encoder = Encoder(Vocabulary.of([known]))
    mask = encoder(text) != encoder.unknown
    assert selected(text, mask) == "".join(c for c in text if c in known)


def test_every_code_point_at_once() -> None:
    everything = "".join(map(chr, range(0x110000)))
    vocabulary = Vocabulary.of([everything])
    assert len(vocabulary) == 0x110000 + 1
    assert (vocabulary.encode(everything) == np.arange(1, 0x110001)).all()
    assert vocabulary.decode(vocabulary.encode(everything)) == everything


def test_order_is_that_of_code_points_whatever_the_documents_order() -> None:
    assert Vocabulary.of(["ba", "Zé"]).characters == "Zabé" == Vocabulary.of(["éZ", "ab"]).characters


def test_a_dot_is_an_ordinary_character() -> None:
    vocabulary = Vocabulary.of(["a.b", "."])
    assert vocabulary.encode(".").tolist() == [1]
    assert vocabulary.symbols == ["∎", ".", "a", "b"], "the boundary is drawn as something else then"
    assert Vocabulary.of(["ab"]).symbols[BOUNDARY] == "."


def test_the_boundary_decodes_to_nothing() -> None:
    assert Vocabulary.of(["ab"]).decode([0, 1, 0, 2, 0]) == "ab"


def test_a_character_that_stands_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        Vocabulary("aba")


def test_what_is_not_in_the_vocabulary_is_named() -> None:
    with pytest.raises(BadInput) as refusal:
        Vocabulary("abc").known("añbö", "prefix=añbö")
    assert str(refusal.value) == (
        "prefix=añbö: 'ñ' (U+00F1), 'ö' (U+00F6) are not in the model's vocabulary of 3 characters"
    )
    assert named("gfedcba").endswith("'e' (U+0065) and 2 more")
    assert named("\t\n") == "'\\t' (U+0009), '\\n' (U+000A)"


def test_what_is_printed_cannot_steer_the_terminal() -> None:
    hostile = "a\x1b[31mb\u202ec\x9bd\r\x07"
    shown = printable(hostile)
    assert shown == "a\\x1b[31mb\\u202ec\\x9bd\\r\\x07"
    assert printable("a\tb\né日🎉") == "a\tb\né日🎉"
