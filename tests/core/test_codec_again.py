"""Decoding a document again: the same as decoding it, and what did not change is the same object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.codec import CodecError, decode, decode_again, encode


@dataclass(frozen=True)
class Leaf:
    name: str
    count: int = 0
    note: str | None = None


@dataclass(frozen=True)
class Tree:
    leaves: tuple[Leaf, ...] = ()
    one: Leaf | None = None
    numbers: tuple[int, ...] = ()
    flags: dict[str, bool] = field(default_factory=dict)


LEAVES = st.builds(Leaf, st.sampled_from("abc"), st.integers(0, 2), st.none() | st.sampled_from("xy"))
TREES = st.builds(
    Tree,
    st.lists(LEAVES, max_size=6).map(tuple),
    st.none() | LEAVES,
    st.lists(st.integers(0, 2), max_size=4).map(tuple),
    st.dictionaries(st.sampled_from("pq"), st.booleans()),
)


@settings(deadline=None)
@given(TREES, TREES)
def test_decoding_again_is_decoding(before: Tree, after: Tree) -> None:
    assert decode_again(Tree, encode(after), encode(before), before) == after == decode(Tree, encode(after))


def test_without_anything_known_it_is_decoding() -> None:
    tree = Tree((Leaf("a"),))
    assert decode_again(Tree, encode(tree), None, Tree()) == tree


def test_what_did_not_change_is_the_same_object() -> None:
    before = Tree(tuple(Leaf(str(n)) for n in range(5)))
    for after in (
        Tree((*before.leaves[:2], Leaf("new"), *before.leaves[2:])),
        Tree((*before.leaves[:2], *before.leaves[3:])),
        Tree((*before.leaves[:2], Leaf("other"), *before.leaves[3:])),
    ):
        again = decode_again(Tree, encode(after), encode(before), before)
        assert again == after
        assert again.leaves[0] is before.leaves[0]
        assert again.leaves[-1] is before.leaves[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"leaves": [{"name": "a"}, {"name": 1}]},
        {"leaves": [{"name": "a", "odd": 1}]},
        {"leaves": [{"count": 1}]},
        {"leaves": {}},
        {"one": []},
        {"odd": 1},
        {"numbers": [1, True]},
        {"flags": {"p": "yes"}},
    ],
)
def test_what_does_not_fit_is_refused_as_when_decoded_anew(change: dict[str, Any]) -> None:
    before = Tree((Leaf("a"),), numbers=(1,), flags={"p": True})
    value = {**encode(before), **change}
    with pytest.raises(CodecError) as anew:
        decode(Tree, value)
    with pytest.raises(CodecError) as again:
        decode_again(Tree, value, encode(before), before)
    assert str(again.value) == str(anew.value)
