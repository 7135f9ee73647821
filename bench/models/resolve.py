"""A model's name → a complete local folder and everything that identifies it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, nearest
from bench.models import hub
from bench.models.checkpoint import text_body
from bench.models.digests import missing, model_identity
from bench.models.package import package_folder
from bench.models.rows import MODELS, ModelRow
from bench.pooling import poolings
from bench.progress import SILENT, Progress


@dataclass(frozen=True)
class ResolvedModel:
    """A model that lies complete in `folder`: configuration, tokenizer, safetensors.

    `architecture` is transformers' class of the text body, without a language-model head; it has `layers` blocks
    of width `width`, so `layers + 1` hidden states. `max_positions` bounds a text's tokens, special ones included.
    `revision` is the hub's commit, None elsewhere. `identity` holds the digests of all that changes a value; it does
    not depend on where the folder lies. All of it is plain values, so that another process can be handed a model.
    """

    name: str
    folder: Path
    row: ModelRow | None
    revision: str | None
    architecture: str
    layers: int
    width: int
    causal: bool
    max_positions: int
    prompt: str
    remote_code: bool
    identity: Mapping[str, str]

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings that mean something for this model."""
        return poolings(causal=self.causal)


@dataclass(frozen=True)
class ModelName:
    """A name as the user writes it: a row, an existing folder, or a hub id; the first and last with ``@revision``."""

    text: str
    row: ModelRow | None
    folder: Path | None
    repo: str | None
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> "ModelName":
        """Take `text` apart.

        Raises:
            BenchError: it is none of the three.
        """
        base, _, revision = text.partition("@")
        if base in MODELS:
            row = MODELS[base]
            if revision and row.repo is None:
                raise BenchError(f"Model '{base}' comes from a package and has no revisions: leave out '@{revision}'.")
            return cls(text, row, None, row.repo, revision or None)
        folder = Path(text).expanduser()
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise BenchError(f"The folder '{text}' is no model: it has no config.json.")
            return cls(text, None, folder, None, None)
        if base.count("/") == 1 and all(base.split("/")) and not base.startswith((".", "~")):
            return cls(text, None, None, base, revision or None)
        raise BenchError(
            f"There is no model '{text}', neither in the table, nor a hub id (owner/name), nor a folder: "
            f"{nearest(base, MODELS)}"
        )


def resolve(
    name: str,
    store: Path,
    *,
    trust_remote_code: bool = False,
    recorded: Mapping[str, Any] | None = None,
    download: bool = True,
    progress: Progress = SILENT,
) -> ResolvedModel:
    """Find the model `name`, fetch or convert it if need be, and hash it.

    Args:
        name: a row of `MODELS`, a local folder, or a hub id; rows and ids with an optional ``@revision``. Without
            one, a complete cached snapshot of ``main`` is used before the hub is asked.
        store: where digests of files are remembered, and models that had to be converted are kept.
        trust_remote_code: let the repository's own code run, which also needs a full commit hash as the revision.
        recorded: the identity that the model had where its name was written down; code runs only where it is still
            that. None where the name is the caller's own.
        download: ask the hub when the local cache does not have the model.
        progress: is told of a conversion before it starts.

    Raises:
        BenchError: the model cannot be had, is incomplete, has no safetensors, or needs code that is not trusted or
            not what was recorded.
    """
    parsed = ModelName.parse(name)
    folder, revision = _locate(parsed, store, progress, trust_remote_code=trust_remote_code, download=download)
    if reason := missing(folder):
        raise BenchError(f"Model '{name}' cannot be used: {reason}.")
    raw = hub.read_config(folder)
    # What a package brings was checked against its row: whatever its configuration says, it runs no code.
    code = not (parsed.row and parsed.row.packages) and hub.check_remote_code(
        parsed.text, parsed.revision, raw, trust_remote_code=trust_remote_code
    )
    identity = model_identity(folder, store, code=code)
    if code and recorded is not None:
        _check_recorded(name, identity, recorded)
    return _describe(parsed, folder, revision, raw, identity)


def _locate(
    parsed: ModelName, store: Path, progress: Progress, *, trust_remote_code: bool, download: bool
) -> tuple[Path, str | None]:
    """The model's folder and, on the hub, its commit."""
    if parsed.repo is not None:
        if parsed.row is not None and parsed.row.remote_code:
            hub.refuse_untrusted(parsed.text, parsed.revision, trust_remote_code=trust_remote_code)
        folder = hub.snapshot(parsed.repo, parsed.revision, trust_remote_code=trust_remote_code, download=download)
        return folder, folder.name
    if parsed.folder is not None:
        return parsed.folder, None  # without a commit, so that code in it is refused whatever the flag says
    assert parsed.row is not None
    return package_folder(parsed.row, store, progress), None


def _check_recorded(name: str, identity: Mapping[str, str], recorded: Mapping[str, Any]) -> None:
    """Raise BenchError where a model's files differ from what was recorded: before any of its code is imported."""
    if different := [part for part, value in identity.items() if recorded.get(part) != value]:
        raise BenchError(
            f"Model '{name}' runs code from its repository, and is not what was recorded ({', '.join(different)}): "
            "nothing of it is run. Fetch that commit again, or search anew."
        )


def _describe(
    parsed: ModelName, folder: Path, revision: str | None, raw: dict[str, Any], identity: Mapping[str, str]
) -> ResolvedModel:
    code = "code" in identity
    try:
        body = text_body(folder, raw, code=code)
    except (ValueError, KeyError) as error:
        raise BenchError(f"Model '{parsed.text}' is of a kind that this transformers does not know: {error}") from error
    row, config = parsed.row, body.config
    return ResolvedModel(
        name=parsed.text,
        folder=folder,
        row=row,
        revision=revision,
        architecture=body.architecture,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        causal=row.causal if row else _is_causal(config),
        max_positions=_max_positions(config, folder),
        prompt=row.prompt if row else "",
        remote_code=code,
        identity=identity,
    )


def _is_causal(config: Any) -> bool:
    """Whether a token sees only those before it: families that only generate, unless the config lifts the mask."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as GENERATE
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as FILL

    if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", False):
        return False
    decoder = config.model_type in GENERATE and config.model_type not in FILL
    return decoder or bool(getattr(config, "is_decoder", False))


def _max_positions(config: Any, folder: Path) -> int:
    """The model's positions, or fewer where its tokenizer says so; RoBERTa's family starts counting after padding."""
    positions = int(getattr(config, "max_position_embeddings", None) or 2**31 - 1)
    if "roberta" in config.model_type:
        positions -= int(config.pad_token_id) + 1
    tokenizer = folder / "tokenizer_config.json"
    limit = hub.read_json(tokenizer).get("model_max_length") if tokenizer.is_file() else None
    return min(positions, int(limit)) if limit else positions
