"""The store: hidden states computed once, found again by everything that could change a value.

A *shelf* is a folder for one identity (weights, tokenizer, dtype, backend and its version, kernels, maximum length,
prompt, norm …); its rows are keyed by the text itself, so that a subset, another data set with the same texts, or a
second study reuses them. A shelf holds *segments*: immutable safetensors files, one tensor a layer and pooling, whose
name is the digest of their header's checksums. A directory listing is therefore the whole index, two processes may
write at once, and a torn or altered file gives itself away: the header against the name when a segment is opened, a
tensor against its checksum when it is first read.
"""

from bench.store.segment import DamagedError
from bench.store.shelf import Shelf, slot, text_key
from bench.store.store import Store

__all__ = ["DamagedError", "Shelf", "Store", "slot", "text_key"]
