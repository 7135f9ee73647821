from collections import Counter

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.datasets import splits
from bench.datasets.dataset import split_fingerprint
from bench.tasks.classification import sorted_labels

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
row_lists = st.lists(
    st.tuples(words, st.sampled_from("abc"), st.sampled_from([None, "g", "h", "i"])), min_size=1, max_size=40
)
distinct_lists = st.lists(
    st.tuples(words, st.sampled_from("abcd")), min_size=5, max_size=80, unique_by=lambda row: row[0]
)


@given(row_lists)
def test_groups_are_the_finest_that_join_equal_texts_and_equal_values(rows: list[tuple[str, str, str | None]]) -> None:
    groups = splits.group_rows([row[0] for row in rows], [row[2] for row in rows]).tolist()
    joined = [{index} for index in range(len(rows))]
    for one, (text, _, value) in enumerate(rows):
        for two, (other, _, same) in enumerate(rows):
            if text == other or (value is not None and value == same):
                union = joined[one] | joined[two]
                for member in union:
                    joined[member] = union
    assert [[a == b for b in groups] for a in groups] == [
        [b in joined[a] for b in range(len(rows))] for a in range(len(rows))
    ]
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))


@given(row_lists, st.randoms(use_true_random=False))
def test_held_out_rows_do_not_depend_on_order_and_cut_no_group(
    rows: list[tuple[str, str, str | None]], random: object
) -> None:
    def held_out(rows: list[tuple[str, str, str | None]]) -> Counter[tuple[str, str, str | None]]:
        texts, labels = [row[0] for row in rows], [row[1] for row in rows]
        groups = splits.group_rows(texts, [row[2] for row in rows])
        partition = splits.hold_out(texts, labels, groups, "salt")
        assert sorted(partition.train + partition.test) == list(range(len(rows)))
        assert partition.train == sorted(partition.train)
        assert partition.test == sorted(partition.test)
        assert not set(groups[partition.train]) & set(groups[partition.test])
        assert bool(partition.test) == (len(set(groups)) > 1)
        return Counter(rows[index] for index in partition.test)

    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert held_out(rows) == held_out(shuffled)


@given(distinct_lists, st.text(max_size=3))
@example([(text, label) for text, label in zip("01234567", "cccdabcc", strict=True)], "")
def test_held_out_share_is_a_fifth_of_every_class(rows: list[tuple[str, str]], salt: str) -> None:
    texts, labels = [row[0] for row in rows], [row[1] for row in rows]
    partition = splits.hold_out(texts, labels, splits.group_rows(texts, [None] * len(rows)), salt)
    counts, held = Counter(labels), Counter(labels[index] for index in partition.test)
    # A fifth of eight rows is two, a quarter of them: a class gives its part of the rounded number.
    size = round(len(rows) / 5)
    if sum(held.values()) > 1:
        for label, count in counts.items():
            assert abs(held[label] - size * count / len(rows)) < 1
            assert held[label] < count


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(2, 50), min_size=1), st.data())
def test_shares_add_up(counts: dict[str, int], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, sum(counts.values()) // 5))
    given = splits.shares(counts, size)
    assert sum(given.values()) <= size
    assert all(0 <= given[label] < count for label, count in counts.items())
    if all(count >= 5 for count in counts.values()):
        assert sum(given.values()) == size


@settings(max_examples=60)
@given(distinct_lists, st.integers(0, 5))
def test_subsets_are_nested_stratified_and_in_order(rows: list[tuple[str, str]], seed: int) -> None:
    texts, labels = [row[0] for row in rows], [row[1] for row in rows]
    counts = Counter(labels)
    smaller: set[int] = set()
    for size in range(1, len(rows) + 1):
        kept = splits.subset(texts, labels, size, seed)
        assert kept == sorted(set(kept))
        assert len(kept) == size
        assert smaller <= set(kept)
        smaller = set(kept)
        seen = Counter(labels[index] for index in kept)
        assert len(seen) == min(size, len(counts))
        for label, count in counts.items():
            # One row a class is given beforehand, so a share is off by no more than the number of classes.
            assert abs(seen[label] - size * count / len(rows)) <= len(counts)


def test_seeds_choose_other_rows() -> None:
    texts, labels = [f"text {number}" for number in range(200)], ["a", "b"] * 100
    assert splits.subset(texts, labels, 50, 0) != splits.subset(texts, labels, 50, 1)
    groups = splits.group_rows(texts, [None] * 200)
    assert splits.hold_out(texts, labels, groups, "0").test != splits.hold_out(texts, labels, groups, "1").test


def test_a_group_too_large_for_the_share_leaves_the_smallest_to_test() -> None:
    texts = [f"text {number}" for number in range(9)]
    groups = np.array([0] * 5 + [1] * 4)
    assert splits.hold_out(texts, ["a", "b", "a", "b", "a", "b", "a", "b", "a"], groups).test == [5, 6, 7, 8]


@given(st.lists(st.tuples(words, words), max_size=6), st.lists(st.tuples(words, words), max_size=6))
def test_fingerprints_are_equal_for_equal_rows_alone(one: list[tuple[str, str]], two: list[tuple[str, str]]) -> None:
    def of(rows: list[tuple[str, str]]) -> str:
        return split_fingerprint([row[0] for row in rows], [row[1] for row in rows], np.arange(len(rows)))

    assert (of(one) == of(two)) == (one == two)


def test_fingerprint_changes_with_groups() -> None:
    assert split_fingerprint(["a", "b"], ["x", "y"], np.array([0, 1])) != split_fingerprint(
        ["a", "b"], ["x", "y"], np.array([0, 0])
    )


def test_whole_numbers_sort_by_value_and_names_by_name() -> None:
    assert sorted_labels(["10", "9", "-1", "9"]) == ("-1", "9", "10")
    assert sorted_labels(["b", "10", "9"]) == ("10", "9", "b")
