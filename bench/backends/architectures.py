"""The bodies that the tests compare, under every backend that runs them, with transformers' own hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.models import hub

if TYPE_CHECKING:
    from bench.models.resolve import ResolvedModel

# As transformers names them: one fused kernel, which many older bodies do not know, and products written out.
SDPA, EAGER = "sdpa", "eager"


class Architecture(NamedTuple):
    """A body: the name under which vLLM knows it, and whether its tokens see what follows them."""

    vllm: str
    bidirectional: bool = False


# transformers' class → what is known of it.
ARCHITECTURES = {
    "BertModel": Architecture("BertModel", bidirectional=True),
    "BidirectionalMistralModel": Architecture("LlamaBidirectionalModel", bidirectional=True),
    "Gemma3TextModel": Architecture("Gemma3TextModel"),
    "LlamaModel": Architecture("LlamaModel"),
    "MistralModel": Architecture("MistralModel"),
    "Phi3Model": Architecture("Phi3ForCausalLM"),
    "Qwen2Model": Architecture("Qwen2Model"),
    "Qwen3Model": Architecture("Qwen3ForCausalLM"),
    "RobertaModel": Architecture("RobertaModel", bidirectional=True),
    "XLMRobertaModel": Architecture("XLMRobertaModel", bidirectional=True),
}

# Bodies whose states were not transformers' own at first: encoders taken for decoders, states read in another order or
# with what a body pads inside, texts that saw the padding of their batch.
MENDED = frozenset(
    {
        "BertGenerationEncoder",
        "BigBirdPegasusModel",
        "BlenderbotModel",
        "BlenderbotSmallModel",
        "ConvBertModel",
        "FNetModel",
        "LEDModel",
        "LongformerModel",
        "MarianModel",
        "MobileBertModel",
        "PLBartModel",
        "PegasusModel",
        "ProphetNetModel",
        "XLNetModel",
        "YosoModel",
    }
)


def fastest_attention(model: ResolvedModel) -> str:
    """The fastest attention that transformers has for the model's body on every device; knows it without weights."""
    import transformers

    # A class from the model's own repository is not known before it is imported.
    known = None if model.remote_code else getattr(transformers, model.architecture, None)
    return SDPA if getattr(known, "_supports_sdpa", True) else EAGER


def tested(model: ResolvedModel) -> bool:
    """Whether the tests vouch for the model's body; any other is tested when it is first opened (`bench.proof`)."""
    # A repository's own class may bear the name of transformers'.
    return model.architecture in ARCHITECTURES and not model.remote_code


def was_mended(model: ResolvedModel) -> bool:
    """Whether bench once made other states of the body, so that those are not to be taken for these."""
    convolution = model.architecture == "DebertaV2Model" and hub.read_config(model.folder).get("conv_kernel_size", 0)
    return model.architecture in MENDED or convolution > 0
