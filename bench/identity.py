"""What a key of an identity stands for: which of its keys make other values, and which round otherwise.

An identity is everything that could change a hidden state, as one flat mapping of JSON values; its fingerprint names a
shelf of the store.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any


class KeyGroup(Enum):
    """What a key tells of."""

    LABEL = "what the model was called, which changes nothing"
    WEIGHTS = "the model's files"
    INPUT = "the tokens that a text becomes"
    ARITHMETIC = "what is computed of them, and how exactly it is kept"
    ENVIRONMENT = "versions, device and kernels, under which values round otherwise"


GROUPS = {
    key: group
    for group, keys in {
        KeyGroup.LABEL: ("model",),
        KeyGroup.WEIGHTS: ("weights", "tokenizer", "config", "code"),
        KeyGroup.INPUT: (
            "max_length",
            "truncation",
            "special_tokens",
            "prompt",
            "lowercase",
            "pair",
            "pooled",
            "long",
            "overlap",
            "combine",
            "eos",
            "echo",
        ),
        KeyGroup.ARITHMETIC: ("backend", "dtype", "quantization", "norm", "storage_dtype"),
        KeyGroup.ENVIRONMENT: (
            "torch",
            "transformers",
            "tokenizers",
            "openvino",
            "vllm",
            "device",
            "attention",
            "linear",
            "tensor_parallel",
            "kernels",
            "adopted",
        ),
    }.items()
    for key in keys
}
"""Key → its group. A key that is not here, of a backend from elsewhere say, counts as environment."""

VERSIONS = frozenset({"torch", "transformers", "tokenizers", "openvino", "vllm"})
"""Keys that hold the version of a library."""
ADOPTED = "adopted"
"""In the identity of states of which some were computed under other versions: the fingerprint of that extraction."""

PINNED = (KeyGroup.WEIGHTS, KeyGroup.INPUT, KeyGroup.ARITHMETIC)
"""Where one of these differs, values are not those of the same computation."""


def group_of(key: str) -> KeyGroup:
    """What a key stands for."""
    return GROUPS.get(key, KeyGroup.ENVIRONMENT)


def but_for_versions(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What an identity shares with those that were the same but for versions of libraries."""
    return {
        key: None if key in VERSIONS else value
        for key, value in identity.items()
        if key != ADOPTED and group_of(key) is not KeyGroup.LABEL
    }


def only(identity: Mapping[str, Any], *groups: KeyGroup) -> dict[str, Any]:
    """The keys of an identity that belong to `groups`, in its order."""
    return {key: value for key, value in identity.items() if group_of(key) in groups}
