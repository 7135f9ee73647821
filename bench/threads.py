"""Small problems side by side, each on one thread.

Factorisations of small matrices hardly gain by a second thread, lose much where the machine is busy, and round
otherwise under it. Solved side by side, problems take all of torch's threads, and what each gives does not
depend on how many there are.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def torch_threads(each: int) -> Iterator[None]:
    """So many of torch's threads for each operation in this process, and in threads that begin within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(each)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def side_by_side(most: int | None = None) -> Iterator[tuple[ThreadPoolExecutor | None, int]]:
    """Threads for problems that are solved on one of torch's threads each, and how many there are.

    There are as many as torch has, at `most` so many, which then share torch's; no pool where torch has but one. What
    has not begun when the context ends is given up.
    """
    threads = torch.get_num_threads()
    workers = threads if most is None else min(threads, most)
    with torch_threads(threads // workers):
        if workers == 1:
            yield None, 1
            return
        pool = ThreadPoolExecutor(workers)
        try:
            yield pool, workers
        finally:
            pool.shutdown(cancel_futures=True)


def solved(solve: Callable[[T], R], problems: Sequence[T]) -> list[R]:
    """The solution of each problem. What torch keeps for each thread (`no_grad`) is for `solve` to say."""
    with side_by_side() as (pool, _):
        return list(map(solve, problems) if pool is None or len(problems) == 1 else pool.map(solve, problems))
