"""Bodies with random weights in the shapes of published ones: what a pass takes does not depend on the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "e5-large": (
        "BertConfig",
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    ),
    "llama-1b": (
        "LlamaConfig",
        {
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
    ),
    "llama-8b": (
        "LlamaConfig",
        {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
    ),
}
"""Name → transformers' class of configuration, and what it is made of; the vocabulary is that of the texts."""
WORDS = 20_000


def make(name: str, texts: Sequence[str], folder: Path, device: str) -> Path:
    """Save the body `name` in bfloat16, with a tokenizer whose tokens are the words of `texts`, to `folder`."""
    if (folder / "config.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    kind, options = SHAPES[name]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**options, vocab_size=WORDS + 4, pad_token_id=0)
    with torch.device(device):
        body = transformers.AutoModel.from_config(config, dtype=torch.bfloat16)
    body.save_pretrained(folder)
    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=WORDS, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    return folder
