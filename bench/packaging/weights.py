"""A model's weights inside a package: its tokenizer, and its body up to the deepest layer that is used."""

import shutil
from pathlib import Path

from bench.errors import BenchError
from bench.models.digests import TOKENIZER
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel
from bench.packaging.pipeline import PackedBody
from bench.specs import ExtractionSettings


def pack(model: ResolvedModel, settings: ExtractionSettings, deepest: int, pipeline: Path, place: str) -> PackedBody:
    """Write the body of `model`, in the dtype of the search, as safetensors to `place` in the folder of a pipeline.

    Raises:
        BenchError: it is quantised, needs its repository's code, or is one half of an encoder and a decoder.
    """
    import torch

    from bench.backends.loading import load_body

    if model.remote_code or settings.quantization != "none":
        why = "it runs code from its repository" if model.remote_code else "it is quantised while it is loaded"
        raise BenchError(f"The weights of '{model.name}' cannot be packed ({why}): leave out `with_weights`.")
    body, _ = load_body(model, getattr(torch, settings.dtype), deepest)
    if body.config.is_encoder_decoder:
        # transformers would look in the files for the whole, and make up what it does not find.
        raise BenchError(
            f"The weights of '{model.name}' cannot be packed (an encoder is half of a {model.architecture}): leave out "
            "`with_weights`."
        )
    folder = pipeline / place
    folder.mkdir(parents=True)
    with quiet_transformers():
        body.save_pretrained(folder)
    for name in TOKENIZER:
        if (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, folder / name)
    return PackedBody(
        folder=place,
        architecture=model.architecture,
        layers=model.layers,
        width=model.width,
        causal=model.causal,
        max_positions=model.max_positions,
        prompt=model.prompt,
        lowercase=model.lowercase,
        vocabulary=model.vocabulary,
    )
