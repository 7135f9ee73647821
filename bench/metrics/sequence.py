"""Whether a sequence of values has begun to fall, looked at after each one, with a bound on false alarms for good.

Testing after every value is testing many times. A conformal test martingale may be looked at as often as one likes: a
gambler bets against the values being exchangeable, that is, against their order meaning nothing; whatever their
distribution, a capital that begins at 1 ever reaches 1 / α with a probability of at most α (Ville's inequality;
Volkhonskiy and others, Inductive Conformal Martingales for Change-Point Detection, COPA 2017; Vovk, Testing
Randomness Online, Statistical Science 36, 2021).
"""

from collections.abc import Sequence

import numpy as np

from bench.metrics.counts import Floats

BETS = (np.arange(20) + 0.5) / 20
"""Exponents of the bets, over which the capital is spread in equal parts: small ones gain most from small ranks."""


def ranks(values: Sequence[float], seed: int) -> Floats:
    """How low each value is among those so far, itself included, [n] in (0, 1]; ties are broken by `seed`.

    Where the order of the values means nothing, the ranks are independent and uniform.
    """
    found, drawn = np.asarray(values, dtype=np.float64), np.random.default_rng(seed).random(len(values))
    so_far = [found[: place + 1] for place in range(len(found))]
    lower = np.array([(each < each[-1]).sum() for each in so_far])
    equal = np.array([(each == each[-1]).sum() for each in so_far])
    share: Floats = (lower + (1 - drawn) * equal) / np.arange(1, len(found) + 1)
    return share


def capital(uniform: Floats) -> Floats:
    """What a gambler who began with 1 has after each rank, [n]: large once values keep being low for their past.

    A bet with exponent ε multiplies its stake by ε · rank^(ε − 1), whose mean is 1 where ranks are uniform.
    """
    logs = np.cumsum(np.log(BETS)[:, None] + (BETS[:, None] - 1) * np.log(uniform), axis=1)
    top = logs.max(axis=0)
    grown: Floats = np.exp(top) * np.exp(logs - top).mean(axis=0)
    return grown


def change_point(values: Sequence[float]) -> int:
    """The place from which on two means fit the values best (least squares), at least 1 and less than their number."""
    found = np.asarray(values, dtype=np.float64)
    places = np.arange(1, len(found))
    before = np.cumsum(found)[:-1] / places
    after = (found.sum() - np.cumsum(found)[:-1]) / (len(found) - places)
    return int(places[np.argmax(places * (len(found) - places) * (before - after) ** 2)])
