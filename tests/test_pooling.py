import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.pooling import POOLINGS, Tokens, offered, parts, plainest, pool, poolings

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
NAMES = [name for name, entry in POOLINGS.items() if entry.function]


def padded(texts: list[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(text) for text in texts)
    hidden = torch.full((len(texts), longest, texts[0].shape[1]), 1e30)
    mask = torch.zeros(len(texts), longest)
    for row, text in enumerate(texts):
        place = slice(0, len(text)) if side == "right" else slice(longest - len(text), longest)
        hidden[row, place], mask[row, place] = text, 1
    return hidden, mask


@given(LENGTHS, st.integers(0, 2**31))
def test_either_padding_side_and_none_pool_the_same_tokens(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    texts = [torch.randn(length, 5, generator=generator) for length in lengths]
    expected = torch.stack([torch.stack([text.mean(0), text[-1], text[0]]) for text in texts])
    packed = pool(torch.cat(texts)[None], Tokens.packed(lengths), ["mean", "last", "first"])
    torch.testing.assert_close(packed, expected)
    for side in ("left", "right"):
        hidden, mask = padded(texts, side)
        # The padding is enormous, so one padded token that slips in is seen.
        torch.testing.assert_close(pool(hidden, Tokens.masked(mask), ["mean", "last", "first"]), expected)


@given(LENGTHS, st.data())
def test_some_texts_of_a_batch_are_pooled_as_they_are_among_all(lengths: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    hidden = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(0))
    tokens = Tokens.packed(lengths)
    torch.testing.assert_close(pool(hidden, tokens.select(chosen), NAMES), pool(hidden, tokens, NAMES)[chosen])


def test_half_precision_is_accumulated_in_float32() -> None:
    # In bfloat16, 256 + 1 is 256: a running sum would stop there.
    hidden = torch.ones(1, 1000, 4, dtype=torch.bfloat16)
    states = pool(hidden, Tokens.packed([1000]), NAMES)
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, torch.ones(1, len(NAMES), 4))


@given(LENGTHS, st.integers(0, 2**31))
def test_those_that_are_asked_for_are_what_they_say(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    texts = [torch.randn(length, 5, generator=generator) for length in lengths]
    found = pool(torch.cat(texts), Tokens.packed(lengths), ["max", "last-4", "weighted"])
    for text, (largest, few, weighted) in zip(texts, found, strict=True):
        ranks = torch.arange(len(text)) + 1.0
        torch.testing.assert_close(largest, text.amax(0))
        torch.testing.assert_close(few, text[-4:].mean(0))
        torch.testing.assert_close(weighted, (ranks / ranks.sum()) @ text)
    hidden, mask = padded(texts, "left")
    torch.testing.assert_close(pool(hidden, Tokens.masked(mask), ["max", "last-4", "weighted"]), found)


def test_what_is_linear_is_made_of_what_is_stored() -> None:
    assert parts(6, "mean-4-layers") == [(3, "mean"), (4, "mean"), (5, "mean"), (6, "mean")]
    assert parts(1, "mean-4-layers") == [(0, "mean"), (1, "mean")]
    assert parts(2, "first-last") == [(2, "first"), (2, "last")]
    assert [plainest(layer, "mean-4-layers") for layer in (0, 1)] == ["mean", "mean-4-layers"]
    assert (parts(2, "mean"), plainest(2, "mean")) == ([(2, "mean")], "mean")
    assert offered("mean-4-layers", ("mean",))
    assert not offered("first-last", ("mean", "last"))
    assert not offered("max", ("mean",))


def test_what_is_unusual_is_extracted_where_it_is_asked_for() -> None:
    assert poolings(causal=False, asked=("max", "mean-4-layers")) == ("mean", "last", "first", "max")
    assert poolings(causal=True, asked=("first-last", "weighted")) == ("mean", "last", "weighted")


def test_first_is_left_out_where_it_is_constant() -> None:
    assert poolings(causal=False) == ("mean", "last", "first")
    assert poolings(causal=True) == ("mean", "last")
