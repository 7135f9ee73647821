"""Poolings that a space asks for: extracted then, or made of what is stored, and the same in a package."""

from pathlib import Path

from formats.make import SEARCH, SPACE
from small import exported_and_checked, here, said  # noqa: F401

import bench


def space(path: Path, poolings: str, head: str = '["ridge"]') -> None:
    text = SPACE.replace('["mean", "last"]', poolings).replace('["mlp", "logistic"]', head)
    path.write_text(text.replace("layers_per_model = 2", "layers_per_model = 3"))


def test_they_are_extracted_once_searched_exported_and_checked(here: Path) -> None:  # noqa: F811
    asked = '["max", "last-4", "weighted", "first-last", "mean-4-layers"]'
    space(here / "space.toml", asked)
    said("search", *SEARCH, "--trials", "24", "--study", "asked", "--no-tracking")
    opened = bench.reopen("asked", tracking=False).study
    (need,) = opened.material.needs
    assert {each.partition(".")[2] for each in need.slots} == {"mean", "last", "first", "max", "last-4", "weighted"}
    tried = [record for record in opened.journal.of("complete") if len(record.candidate.sources) > 1]
    used = {source.pooling for record in tried for source in record.candidate.sources}
    assert used & {"first-last", "mean-4-layers"}
    made = next(r for r in tried if {s.pooling for s in r.candidate.sources} & {"first-last", "mean-4-layers"})
    exported_and_checked(opened, made)


def test_who_does_not_ask_has_what_there_was(here: Path) -> None:  # noqa: F811
    space(here / "space.toml", '["mean"]')
    said("search", *SEARCH, "--trials", "2", "--study", "plain", "--no-tracking")
    (need,) = bench.reopen("plain", tracking=False).study.material.needs
    assert {each.partition(".")[2] for each in need.slots} == {"mean", "last", "first"}
