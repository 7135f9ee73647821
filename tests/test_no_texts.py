"""Confidential texts: a marker is planted in every one of them, and nothing that is written or said holds it."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_escaping import Ran, bench  # noqa: F401 - a fixture

pytestmark = pytest.mark.pictures

MARKER = "Zephyrquill"
INPUTS = Path(__file__).parent / "inputs" / "12"


def holders(folder: Path) -> Iterator[str]:
    """The files below `folder` that hold the marker, also where it is compressed."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.read_table(path).to_pydict()).encode()
        if content[:2] == b"\x1f\x8b":
            content += gzip.decompress(content)
        if any(MARKER.encode(each) in content for each in ("utf-8", "utf-16-le", "utf-16-be")):
            yield str(path.relative_to(folder))


@pytest.mark.slow
def test_no_text_is_in_what_is_written_or_said(
    bench: Callable[..., Ran],  # noqa: F811
    tiny: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """In the home with its journals, database, artifacts and reports, in the store, the export and on the terminal."""
    data, model = str(INPUTS / "confidential.jsonl"), str(tiny("BertConfig"))
    rows = ["--dataset", data, "--id-column", "nr", "--max-length", "16", "--max-test", "8"]
    search = ["search", *rows, "--models", model, "--space", "quickstart", "--trials", "2", "--study", "s"]
    reproduce = ["reproduce", "pooling", *rows, "--models", model, "--repetitions", "1", "--folds", "2"]

    ran = [
        bench(*search, "--no-texts"),
        bench("report", "s", "--out", "page"),
        bench("compare", "s:best", "s:cheapest"),
        bench("export", "s", "--out", "classifier"),
        bench("export", "s", "--register", "n"),
        bench("predict", "--model", "classifier", data, "--id-column", "nr", "--out", "said.csv"),
        bench("predict", "--model", "classifier", data, "--id-column", "nr"),
        bench(*reproduce, "--no-texts"),
    ]
    assert [each.status for each in ran] == [0] * len(ran), [each.err for each in ran]
    assert not [each for each in ran if MARKER in each.out + each.err]
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "texts are left out, as was asked" in page
    assert "<bdi>c" in page, "the rows are named by their ids"
    assert list(holders(tmp_path)) == []

    # the same study without the setting shows that the marker would have been seen, and that one call can keep it out
    assert bench(*search).status == 0
    shown = list(holders(tmp_path))
    assert shown
    assert {Path(name).name for name in shown} == {"report.html"}
    assert bench("report", "s", "--no-texts").status == 0
    assert list(holders(tmp_path)) == [], "the page of before is replaced, in the store of runs too"


@pytest.mark.parametrize("name", ["headerless.tsv", "texts-as-keys.json", "key-twice.jsonl"])
@pytest.mark.parametrize("command", ["search", "predict"])
def test_no_message_quotes_a_file(name: str, command: str, bench: Callable[..., Ran], tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "classifier" / "artifacts" / "pipeline").mkdir(parents=True)
    words = {
        "search": ["search", "--dataset", str(INPUTS / name), "--dry-run"],
        "predict": ["predict", "--model", "classifier", str(INPUTS / name)],
    }[command]
    quoting, private = bench(*words), bench(*words, "--no-texts")
    assert (quoting.status, private.status) == (2, 2)
    assert MARKER in quoting.err, "else this test shows nothing"
    assert MARKER not in private.err
    assert name in private.err
    assert "Traceback" not in private.err


def test_a_bug_quotes_nothing(bench: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def fail(*_: object, **__: object) -> None:
        raise KeyError(MARKER)

    monkeypatch.setattr("bench.api.plan", fail)
    words = ["search", "--dataset", "a.csv", "--dry-run"]
    assert MARKER in bench(*words).err
    private = bench(*words, "--no-texts")
    assert (private.status, MARKER in private.err) == (70, False)
    assert "This is a bug in bench: KeyError\n" in private.err


def test_texts_are_neither_labels_nor_ids(bench: Callable[..., Ran]) -> None:  # noqa: F811
    words = ["search", "--dataset", str(INPUTS / "confidential.jsonl"), "--dry-run", "--no-texts"]
    for setting in ("--label-column", "--group-column", "--id-column"):
        assert "holds the texts, and --no-texts keeps those out" in bench(*words, setting, "text").err
