"""The bodies that the tests compare, under every backend that runs them, with transformers' own hidden states."""

from typing import NamedTuple


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
