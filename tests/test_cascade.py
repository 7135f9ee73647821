"""A cascade as a value, and the one rule of who is left to the next stage."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from bench.cascade import Cascade, deferred, margins
from bench.specs import Candidate, Logistic, Source

CHEAP = Candidate(sources=(Source(model="a", layer=1, pooling="mean"),), head=Logistic())
DEEP = Candidate(sources=(Source(model="a", layer=6, pooling="mean"),), head=Logistic())
BOTH = Candidate(sources=(*DEEP.sources, Source(model="b", layer=3, pooling="last")), fusion="concat", head=Logistic())


def test_a_cascade_is_a_value_that_is_told_by_all_that_it_holds():
    cascade = Cascade(stages=(CHEAP, DEEP, BOTH), thresholds=(0.25, 0.5))
    assert Cascade.model_validate(json.loads(json.dumps(cascade.model_dump(mode="json")))) == cascade
    others = [
        Cascade(stages=(CHEAP, DEEP, BOTH), thresholds=(0.25, 0.6)),
        Cascade(stages=(DEEP, CHEAP, BOTH), thresholds=(0.25, 0.5)),
        Cascade(stages=(CHEAP, DEEP), thresholds=(0.25,)),
    ]
    assert len({each.fingerprint() for each in (cascade, *others)}) == 4
    assert cascade.models == ("a", "b")
    assert cascade.sources == (*CHEAP.sources, *BOTH.sources)
    assert str(cascade) == "a[1].mean → (margin < 0.25) a[6].mean → (margin < 0.5) concat(a[6].mean + b[3].last)"


@pytest.mark.parametrize(
    ("stages", "thresholds"),
    [
        ((CHEAP,), ()),
        ((CHEAP, DEEP), ()),
        ((CHEAP, DEEP), (0.1, 0.2)),
        ((CHEAP, CHEAP), (0.1,)),
        ((CHEAP, DEEP), (-0.1,)),
        ((CHEAP, DEEP), (float("nan"),)),
    ],
)
def test_what_is_no_cascade_is_refused(stages, thresholds):
    with pytest.raises(ValidationError):
        Cascade(stages=stages, thresholds=thresholds)


shares = arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 6)), elements=st.floats(0, 1, width=32))


@given(shares, st.floats(0, 1), st.floats(0, 1))
def test_margins_lie_between_0_and_1_and_more_is_deferred_the_higher_the_threshold(probabilities, one, other):
    margin = margins(probabilities)
    assert margin.dtype == np.float64
    assert ((margin >= 0) & (margin <= 1)).all()
    low, high = sorted((one, other))
    assert (deferred(margin, low) <= deferred(margin, high)).all()
    assert not deferred(margin, 0.0).any()
    assert deferred(margin, np.nextafter(1, 2)).all()


def test_a_margin_is_that_of_the_likeliest_class_over_the_second():
    found = margins(np.array([[0.1, 0.7, 0.2], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]))
    assert found == pytest.approx([0.5, 0.0, 1.0])
    assert margins(np.ones((2, 1))).tolist() == [1.0, 1.0]
