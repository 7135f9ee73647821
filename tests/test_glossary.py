"""One word for one thing: what tables and sentences say is explained."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.errors import BenchError
from bench.glossary import TERMS, explain
from bench.space.objectives import Objectives
from bench.study.columns import search_columns

ROOT = Path(__file__).parents[1]


def test_a_spelling_means_one_thing_and_what_is_seen_is_there() -> None:
    spelled = [spelling.lower() for term in TERMS.values() for spelling in (term.name, *term.also)]
    assert len(set(spelled)) == len(spelled)
    for term in TERMS.values():
        assert set(term.see) <= TERMS.keys(), term.name
        assert term.meaning.endswith("."), term.name


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("KNEE", "knee"),
        ("f1_floor", "worst repetition"),
        ("cascade-3", "cascade"),
        ("trial 12", "trial"),
        ("candidates", "candidate"),
        ("single:minilm", "best-single"),
        ("p vs best single", "p"),
        ("f1  floor", "worst repetition"),
        ("weighted_f1_floor", "worst repetition"),
    ],
)
def test_a_word_is_found_as_it_stands_in_tables(word: str, meant: str) -> None:
    assert explain(word).name == meant


def test_an_unknown_word_is_answered_with_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'recommended'"):
        explain("recomended")
    with pytest.raises(BenchError, match="no term ''"):
        explain("")


def test_the_headings_of_a_search_are_explained() -> None:
    for column in search_columns(Objectives()):
        assert explain(column.heading).meaning


def test_the_documentation_explains_the_same_words() -> None:
    first = (ROOT / "docs" / "numbers.md").read_text().partition("\nThe search never sees")[0]
    for row in re.findall(r"^\| ([^|]+) \|", first, re.MULTILINE):
        for word in row.replace("`", "").split(", "):
            if word.strip("- "):
                assert explain(word).meaning


def test_the_command_prints_one_term_or_all() -> None:
    one = CliRunner().invoke(main.cli, ["explain", "told", "apart"], catch_exceptions=False)
    assert one.stdout.startswith("told apart: By more than one standard error")
    assert "See recommended, redraw." in " ".join(one.stdout.split())
    everything = CliRunner().invoke(main.cli, ["explain"], catch_exceptions=False)
    assert all(f"{name}: " in everything.stdout for name in TERMS)
