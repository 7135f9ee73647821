import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.pooling import POOLINGS, Tokens, pool, poolings

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
NAMES = list(POOLINGS)


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


def test_half_precision_is_accumulated_in_float32() -> None:
    # In bfloat16, 256 + 1 is 256: a running sum would stop there.
    hidden = torch.ones(1, 1000, 4, dtype=torch.bfloat16)
    states = pool(hidden, Tokens.packed([1000]), NAMES)
    assert states.dtype == torch.float32
    assert torch.equal(states, torch.ones(1, len(NAMES), 4))


def test_first_is_left_out_where_it_is_constant() -> None:
    assert poolings(causal=False) == ("mean", "last", "first")
    assert poolings(causal=True) == ("mean", "last")
