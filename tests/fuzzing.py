"""Valid files, altered byte by byte, and what may come of reading them: a result or a BenchError.

`tox -e long` runs as many examples of each target as BENCH_EXAMPLES says, and prints what became of them.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import BenchError

T = TypeVar("T")

LONG = "BENCH_EXAMPLES" in os.environ
"""Whether this is `tox -e long`."""
EXAMPLES = int(os.environ.get("BENCH_EXAMPLES", "60"))

TOKENS = [
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\\ud800", b"\xed\xa0\x80", b"\xf0\x9f", b"\n", b"\r", b"\t"),
    *(b'"', b"'", b",", b":", b"{", b"}", b"[", b"]", b"#", b"="),
    *(b"nan", b"NaN", b"null", b"true", b"-1", b"0", b"1e999", b"99999999999999999999"),
]

RUN: Counter[str] = Counter()
FAILED: dict[str, set[str]] = {}
"""Target → examples that were run, and what else came out of some of them, a place each."""


@st.composite
def altered(draw: st.DrawFn, valid: bytes) -> bytes:
    """The bytes with some cut, doubled, replaced or put in."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del content[place : place + length]
        elif kind == 1:
            content[place:place] = draw(st.sampled_from(TOKENS))
        elif kind == 2:
            content[place:place] = content[place : place + length]
        elif kind == 3:
            content[place : place + 1] = draw(st.binary(max_size=4))
        else:
            del content[place:]
    return bytes(content)


ODD = ("null", "true", "false", "0", "-1", "1", "2147483648", "1e300", "NaN", "9" * 20, '""', '"x"', '"\\ud800"')
ODD += ("[]", "[0]", "[[[]]]", "{}", '{"x": 1}')
"""Values that a key may have and should not."""


@st.composite
def odd_json(draw: st.DrawFn, valid: bytes) -> bytes:
    """The JSON with values of some keys replaced, dropped or moved: what still parses, and means something else."""
    content = json.loads(valid)
    for _ in range(draw(st.integers(1, 3))):
        inside: Any = content
        while isinstance(inside, dict | list) and inside:
            key = draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
            if isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans()):
                inside = inside[key]
                continue
            if draw(st.integers(0, 3)):
                inside[key] = json.loads(draw(st.sampled_from(ODD)))
            else:
                del inside[key]
            break
    return json.dumps(content).encode()


def fuzz(target: str, things: st.SearchStrategy[T], action: Callable[[T], object], kinds: int = 1) -> None:
    """Run `action` on as many `things`; only a BenchError may come out of it.

    The examples of a target are shared by its `kinds` of files, of which this is one.
    """
    found = FAILED.setdefault(target, set())

    @settings(
        max_examples=math.ceil(EXAMPLES / kinds),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(things)
    def run(thing: T) -> None:
        RUN[target] += 1
        try:
            action(thing)
        except BenchError:
            pass
        except Exception as error:
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            found.add(f"{type(error).__name__} at {place and place.tb_frame.f_code.co_qualname}")
            raise

    run()


def table() -> list[str]:
    """What was run, a line a target."""
    width = max(map(len, RUN), default=0)
    return [f"{'target':{width}}  examples  failures"] + [
        f"{target:{width}}  {count:8,}  {len(FAILED[target]):8}" for target, count in sorted(RUN.items())
    ]
