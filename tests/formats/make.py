"""Writes what a version of bench leaves on disk, in small, so that later versions can be tried on it.

`python tests/formats/make.py FOLDER` runs the bench that is importable and leaves in FOLDER: the data, the model and
the space that it ran with, its store, its `mlruns` (MLflow's database packed with xz, artifacts beside it), a baseline,
an export, and `expected.json`, which says what later versions must find. Nothing in it depends on where it was made:
paths are relative to FOLDER, and where a file holds an absolute one, `ELSEWHERE` stands for FOLDER's own.
"""

import hashlib
import json
import lzma
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

ELSEWHERE = Path("/elsewhere")
WORDS = {
    "grain": ["wheat", "maize", "harvest", "tonnes", "port", "crop", "soy", "export"],
    "money": ["bank", "rate", "dollar", "yen", "currency", "loan", "trade", "budget"],
    "oil": ["barrel", "crude", "refinery", "field", "well", "pump", "tanker", "gas"],
}
COMMON = ["the", "a", "of", "in", "and", "said", "new", "last", "more", "week", "month", "year", "market", "price"]
SPACE = """version = 1

[sources]
models = ["./model"]
layers_per_model = 2
pooling = ["mean", "last"]

[fusion]
operators = ["concat", "hadamard"]

[head]
kinds = ["mlp", "logistic"]
hidden = 8
learning_rate = { choices = [1e-2] }
epochs = 10

[protocol]
folds = 3
repetitions = 2
confirm = 2
"""
# a processor and plain attention: what a machine has is not to decide whether a study is found again
DATA = ("--dataset", "train.csv", "--test-file", "test.csv")
SEARCH = (
    *DATA,
    "--space",
    "space.toml",
    "--models",
    "./model",
    "--max-length",
    "16",
    "--device",
    "cpu",
    "--attention",
    "sdpa",
)
TRIALS = 4


def make_inputs(folder: Path) -> None:
    """The data, the space and a random model of a few thousand parameters."""
    rng = random.Random(0)
    for name, count in (("train.csv", 60), ("test.csv", 30)):
        lines = ["text,label"]
        for index in range(count):
            label = sorted(WORDS)[index % len(WORDS)]
            words = rng.choices(WORDS[label], k=2) + rng.choices(COMMON, k=rng.randint(3, 7))
            lines.append(f"{' '.join(rng.sample(words, len(words)))} {index},{label}")
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "space.toml").write_text(SPACE)
    make_model(folder / "model")


def make_model(folder: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = [*special, *COMMON, *(word for words in WORDS.values() for word in words)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)


def bench(folder: Path, *arguments: str) -> str:
    """What a command prints, run in `folder` with a store of its own."""
    environment = os.environ | {"BENCH_STORE": str(folder / "store"), "HF_HUB_OFFLINE": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def pack(folder: Path, parent: str) -> None:
    """Leave out what no later version reads, and what tells where this was made; pack the database."""
    (folder / "store" / "digests.json").unlink()  # a memory of digests, by path
    shutil.rmtree(folder / "mlruns" / "reports")
    # MLflow runs an export with the copy of bench inside it, whatever is installed
    shutil.rmtree(folder / "export" / "code")
    (folder / "export" / "serving.py").unlink()
    for run in (folder / "mlruns" / "artifacts").iterdir():
        shutil.rmtree(run / "artifacts" / "report", ignore_errors=True)
        if run.name != parent:
            shutil.rmtree(run)
    for left in (*folder.rglob("*.lock"), *folder.rglob("front.png"), *folder.rglob("front.svg")):
        left.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in (*folder.rglob("*.json"), *folder.rglob("MLmodel")):
        text = path.read_text().replace(str(folder), str(ELSEWHERE))
        path.write_text(text.replace(str(Path(find_spec("bench").origin).parent), str(ELSEWHERE / "bench")))
    pipeline = folder / "export" / "artifacts" / "pipeline"
    sums = json.loads((pipeline / "checksums.json").read_text())
    sums["pipeline.json"] = hashlib.sha256((pipeline / "pipeline.json").read_bytes()).hexdigest()
    (pipeline / "checksums.json").write_text(json.dumps(sums, indent=2) + "\n")
    database = folder / "mlruns" / "mlflow.db"
    relocate(database, folder, ELSEWHERE)
    database.with_suffix(".db.xz").write_bytes(lzma.compress(database.read_bytes(), preset=9))
    database.unlink()


def unpack(made: Path, folder: Path) -> None:
    """The contrary of `pack`: lay out in a new `folder` what was made, for a bench that runs there."""
    shutil.copytree(made, folder)
    packed = folder / "mlruns" / "mlflow.db.xz"
    packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    packed.unlink()
    relocate(packed.with_suffix(""), ELSEWHERE, folder)


def relocate(database: Path, old: Path, new: Path) -> None:
    """Let the database's runs have their artifacts below `new`."""
    connection = sqlite3.connect(database)
    with connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(old), str(new)))
    connection.execute("VACUUM")
    connection.close()


def main(arguments: Sequence[str]) -> None:
    (target,) = map(Path, arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "made"
        folder.mkdir()
        make_inputs(folder)
        found = json.loads(bench(folder, "search", *SEARCH, "--trials", str(TRIALS), "--json"))
        study = found["study"]
        bench(folder, "check", "--baseline", "baseline.json", "--update", "--study", study, "--yes")
        bench(folder, "export", study, "--with-weights", "--out", "export")
        predicted = [
            json.loads(line) for line in bench(folder, "predict", "--model", "export", "test.csv").splitlines()
        ]
        versions = {library.__name__: str(library.__version__) for library in (torch, transformers)}
        expected = {"study": study, "parent_run_id": found["parent_run_id"], "front": found["front"]}
        expected |= {"versions": versions, "predicted": predicted}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        pack(folder, found["parent_run_id"])
        shutil.copytree(folder, target)


if __name__ == "__main__":
    main(sys.argv[1:])
