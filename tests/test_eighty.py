"""What commands say on a terminal of 80 columns, of the longest names: no line is longer, and no word is cut."""

import io
import json
import logging
import random
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from formats.make import COMMON, SPACE, WORDS, make_model
from rich.cells import cell_len
from rich.console import Console

from bench.cli import main
from bench.cli.progress import TerminalProgress, pace
from bench.study.journal import read

pytestmark = pytest.mark.pictures

COLUMNS = 80
MODELS = ("paraphrase-multilingual-MiniLM-L12-v2-fine-tuned-on-contracts", "paraphrase-multilingual-mpnet-base-v2")
STUDY = "contracts of the second half of the year, classified by type and by jurisdiction"
LABELS = {name: f"{name}: amounts due under a clause that was added to the agreement later" for name in WORDS}
DATA = "contracts-of-the-second-half-of-the-year.csv"
ALL = ("--models", ",".join(f"./{name}" for name in MODELS))
PLAIN = (*ALL, "--device", "cpu", "--attention", "sdpa", "--max-length", "16")
SEARCH = ("search", DATA, "--space", "space.toml", *PLAIN, "--study", STUDY)
Called = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with two small models and a table, all of long names, in which a search was run."""
    place = tmp_path_factory.mktemp("eighty")
    rng = random.Random(0)
    lines = ["id,text,label"]
    for index in range(110):
        label = sorted(WORDS)[index % len(WORDS)]
        words = rng.choices(WORDS[label], k=2) + rng.choices(COMMON, k=rng.randint(3, 7))
        lines.append(f"{DATA}/{index},{' '.join(rng.sample(words, len(words)))},{LABELS[label]}")
    (place / DATA).write_text("\n".join(lines) + "\n")
    (place / "space.toml").write_text(SPACE.replace('["./model"]', json.dumps([f"./{name}" for name in MODELS])))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("BENCH_STORE", str(place / "store"))
        patch.setenv("COLUMNS", str(COLUMNS))
        patch.setenv("HF_HUB_OFFLINE", "1")
        for name in ("MLFLOW_TRACKING_URI", "BENCH_DATA_HOME", "BENCH_TRACEBACK"):
            patch.delenv(name, raising=False)
        for name in MODELS:
            make_model(place / name)
        # another test may have loaded MLflow before bench could silence it
        patch.setattr(logging.getLogger("mlflow"), "disabled", True)
        patch.setattr(logging.getLogger("mlflow.store.db.utils"), "disabled", True)
        yield place


@pytest.fixture
def called(folder: Path, called: Callable[..., tuple[int, str, str]]) -> Called:
    """What a command says on both streams, every line of which is looked at."""
    ran = called

    def call(*words: str, status: int = 0) -> str:
        ended, out, err = ran(*words)
        assert ended == status, out + err
        for line in (out + err).splitlines():
            assert cell_len(line) <= COLUMNS or alone(line), f"{words[:2]}: {cell_len(line)} wide: {line}"
            assert not re.search(r"\w…", line.replace("A,B,…", "").replace("0,7,…", "")), f"{words[:2]}: cut: {line}"
        return out

    return call


def alone(line: str) -> bool:
    """A path, an address or a word of a command is whole, on a line of its own."""
    return Path(line.strip()).exists() or len(shlex.split(line.removesuffix("\\"))) == 1


def of_group(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from of_group(command, *words, name)
        else:
            yield (*words, name)


def test_help(called: Called) -> None:
    for words in of_group(main.cli):
        called(*words, "--help")
    called("--help")


def test_every_command(called: Called) -> None:
    """All of them in the order of work, each at least once."""
    ran: set[tuple[str, ...]] = set()

    def run(*words: str, status: int = 0) -> str:
        ran.update({words[:1], words[:2]})
        return called(*words, status=status)

    run("extract", DATA, *PLAIN)
    run(*SEARCH, "--trials", "10", "--dry-run")
    out = run(*SEARCH, "--trials", "10")
    front = out.partition("Front")[2].partition("\n\n")[0].splitlines()
    rows = [line for line in front[3:] if not line.startswith("(no room")]
    assert rows
    assert all(re.match(r"\S+ +\d\.\d{4} ", line) for line in rows), "a line a candidate, below two of headings"
    what = out.partition("What they are\n")[2].partition("\n\n")[0].splitlines()
    named = [line.split()[0] for line in rows]
    assert [line.split()[0] for line in what][: len(named)] == named, "a line each"
    assert any(line.endswith(f" is ./{MODELS[0]}") for line in what), "aliases are explained"
    numbers = [str(record.number) for record in read(Path("mlruns"), STUDY).of("complete")]
    run("study", "show", STUDY)
    run("report", STUDY, "--trial", "best")
    run("report", STUDY, "--measure", "log_loss")
    run("compare", f"{STUDY}:best", f"{STUDY}:{numbers[0]}")
    run("compare", f"{STUDY}:best", f"{STUDY}:{numbers[0]}", "--measure", "balanced_accuracy")
    run("export", STUDY, "--trial", numbers[0], "--out", "exported to a folder with a long name")
    run("export", STUDY, "--trial", numbers[0], "--format", "openvino", "--out", "a graph in a folder with a long name")
    run("evaluate", "--model", "exported to a folder with a long name", DATA)
    run("evaluate", "--model", "exported to a folder with a long name", DATA, "--reject-below", "0.4")
    run("apply", "--model", "exported to a folder with a long name", DATA, "answers to the contracts of the year")
    run("apply", "--model", "exported to a folder with a long name", "--estimate", "--price", "2.5")
    costs = "what a wrong classification costs us.csv"
    lines = [",".join(["label", *LABELS.values(), "reject"])]
    lines += [
        ",".join([label, *("0" if label == other else "3" for other in LABELS.values()), "1"])
        for label in LABELS.values()
    ]
    Path(costs).write_text("\n".join(lines) + "\n")
    run("evaluate", "--model", "exported to a folder with a long name", DATA, "--costs", costs)
    run("compare", f"{STUDY}:best", f"{STUDY}:{numbers[0]}", "--costs", costs)
    run("report", STUDY, "--costs", costs)
    run("labels", STUDY, "--rows", "3")
    run("labels", STUDY, "--unlabelled", DATA, "--rows", "3")
    unlabelled = "contracts that nobody has read yet.txt"
    Path(unlabelled).write_text("".join(f"{' '.join(WORDS[name])} and {row}\n" for row in range(9) for name in WORDS))
    run(
        "labels", STUDY, "--unlabelled", unlabelled, "--rows", "3", "--out", "to be labelled by the end of the week.csv"
    )
    run("distill", STUDY, "--unlabelled", unlabelled)
    run("cost", STUDY)
    run("cost", STUDY, "--here", "--out", "costs")
    run("check", "--baseline", "baseline.json", "--update", "--study", STUDY, "--yes")
    run("check", "--baseline", "baseline.json", "--history", "what the checks of every week have found.jsonl")
    layers = ("--folds", "2", "--repetitions", "1")
    run("reproduce", "layers", "--dataset", DATA, *PLAIN, *layers, "--dry-run")
    for study in ("layers", "pairs", "pooling"):
        told = run("reproduce", study, "--dataset", DATA, *PLAIN, *layers)
        assert not re.search(r"^  head ", told, re.MULTILINE), "a line a row"
    for words in ("models", "datasets", "fusions", "studies"):
        run("list", words)
    run("study", "bundle", STUDY, "--out", "the study in one file, for whoever doubts a number.zip")
    run("verify", "the study in one file, for whoever doubts a number.zip")
    run("explain")
    run("explain", "floor")
    run("doctor")
    run("space", "check", "space.toml")
    run("store", "list")
    run("store", "verify")
    run("store", "prune", "--yes")
    run("store", "export", "--dataset", DATA, "--model", f"./{MODELS[0]}", *PLAIN[2:], "states.safetensors")
    run("store", "import", "states.safetensors")
    run("study", "rename", STUDY, STUDY.upper())
    run("study", "delete", STUDY.upper(), "--yes")
    run("ui", "--tracking-uri", "sqlite:///gone.db", status=2)
    # what these print is for programs
    ran |= {("predict",), ("completion",), ("space", "schema")}
    assert set(of_group(main.cli)) <= ran


@pytest.mark.parametrize(
    "words",
    [
        ("search", "gone.csv"),
        ("search", DATA, "--space", "quikstart"),
        ("search", DATA, "--models", MODELS[0][:-2]),
        ("study", "show", STUDY[:-1]),
        ("report", "gone", "--tracking-uri", "nope"),
        ("compare", f"{STUDY}:best", "gone"),
    ],
)
def test_what_is_refused(called: Called, words: tuple[str, ...]) -> None:
    called(*words, status=2)


def test_bars_are_whole_whatever_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    progress = TerminalProgress()
    monkeypatch.setattr(progress, "_console", Console(file=drawn, force_terminal=True, width=COLUMNS, highlight=False))
    for title, total, note in (("search", 200, "best f1_floor 0.5077"), (f"extract ./{MODELS[0]}", 110_000, "")):
        with progress.task(title, total, "candidates", total // 2) as task:
            task.note(note)
            task.advance(total // 2)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue()))
    assert max(map(cell_len, lines)) <= COLUMNS
    assert "…" not in drawn.getvalue()
    assert any("200/200" in line for line in lines)


@pytest.mark.parametrize(("speed", "words"), [(12.5, "12.5 texts/s"), (0.4, "2.5 s each"), (1 / 90, "90 s each")])
def test_slow_work_says_seconds_each(speed: float, words: str) -> None:
    assert pace(speed, "texts") == words
