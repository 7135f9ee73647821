"""A model's name → a complete local folder and everything that identifies it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, in_words, nearest
from bench.models import hub
from bench.models.checkpoint import check_layers, quantization, text_body
from bench.models.digests import WEIGHTS, model_identity
from bench.models.flaws import flaw
from bench.models.package import package_folder
from bench.models.quiet import quiet_transformers
from bench.models.rows import MODELS, ModelRow
from bench.models.sentence import prompts_of
from bench.models.shape import body_shape
from bench.models.use import Use, use_of
from bench.pooling import poolings
from bench.progress import SILENT, Progress
from bench.views import AS_IS, Form, Framing, View, parted

BIDIRECTIONAL = frozenset({"bert-generation"})
"""Families that transformers lists for generation alone, and that are decoders only where their config says so."""


@dataclass(frozen=True)
class ResolvedModel:
    """A model that lies complete in `folder`: configuration, tokenizer, safetensors.

    `architecture` is transformers' class of the text body, without a language-model head; it has `layers` blocks
    of width `width`, so `layers + 1` hidden states. `max_positions` bounds a text's tokens, special ones included.
    `prompt` comes before every text, and both are put in lower case where the model is `lowercase`. `vocabulary` is the
    rows of its embedding, None where a package of earlier versions does not say. `own_pooling` is what its authors pool
    by, None where they do not say or where it is none of bench's; `notes` are what else they do and bench does not.
    `view` is what it reads of rows that have several fields, None where it reads them as they are. With `pooled`
    ``"text"`` the prompt's tokens are not pooled; `framing` is how a text's tokens are laid out. `asked` are poolings
    that are to be extracted, or made of what is, beside the usual ones.
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
    vocabulary: int | None = None
    lowercase: bool = False
    own_pooling: str | None = None
    notes: tuple[str, ...] = ()
    view: View | None = None
    pooled: Literal["all", "text"] = "all"
    framing: Framing = AS_IS
    asked: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """Its name without the form of its input."""
        return parted(self.name)[0]

    def reads(self, row: str) -> str:
        """The text that is read of a row, without the prompt: what its states are kept by."""
        return row if self.view is None else self.view(row)

    def under(self, name: str, form: Form, columns: Sequence[str]) -> "ResolvedModel":
        """The same under a form of its input, called `name`, over rows with these columns.

        Raises:
            BenchError: the rows have no such fields, or the form is none for such a model.
        """
        prompt = self.prompt if form.prompt is None else form.prompt
        if form.named is not None:
            known = prompts_of(self.folder)
            if form.named not in known:
                which = nearest(form.named, known) if known else "its folder names none."
                raise BenchError(f"Model '{self.name}' has no prompt called '{form.named}': {which}")
            prompt = known[form.named]
        framing = form.framing(self.framing.long)
        if form.pair and framing.long != "truncate":
            raise BenchError(f"The input '{name}' reads a pair, which is cut where it is long: leave out `long`.")
        view = form.view(columns, name)
        return replace(self, name=name, prompt=prompt, view=view, pooled=form.pooled, framing=framing)

    @property
    def pools_part(self) -> bool:
        """Whether some of a text's tokens are not pooled."""
        return self.pooled != "all" or self.framing.echo

    @property
    def at_once(self) -> "ResolvedModel":
        """The same for what reads one window of a long text at a time."""
        return replace(self, framing=self.framing.at_once)

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings that are extracted of it: those that mean something for it, or are asked for."""
        return poolings(causal=self.causal, asked=self.asked)

    @property
    def same(self) -> frozenset[tuple[int, str]]:
        """Layers and poolings at which it tells no texts apart: none that is known without its states."""
        return frozenset()


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
                raise BenchError(f"The folder '{text}' is no model: it has no config.json{_instead(folder)}.")
            return cls(text, None, folder, None, None)
        if base.count("/") == 1 and all(base.split("/")) and not base.startswith((".", "~")):
            return cls(text, None, None, base, revision or None)
        raise BenchError(
            f"There is no model '{text}', neither in the table, nor a hub id (owner/name), nor a folder: "
            f"{nearest(base, MODELS)}"
        )


def _instead(folder: Path) -> str:
    """What a folder without config.json is, as the rest of a sentence."""
    if (folder / "adapter_config.json").is_file():
        return ", only an adapter: merge it into its base model (merge_and_unload of peft) and save that"
    inside = sorted(path.parent.name for path in folder.glob("*/config.json") if (path.parent / WEIGHTS).is_file())
    return f"; its folder '{inside[0]}' has one" if inside else ""


def resolve(
    name: str,
    store: Path,
    *,
    trust_remote_code: bool = False,
    prompt: str | None = None,
    recorded: Mapping[str, Any] | None = None,
    download: bool = True,
    progress: Progress = SILENT,
) -> ResolvedModel:
    """Find the model `name`, fetch or convert it if need be, look its files over, and hash it.

    Args:
        name: a row of `MODELS`, a local folder, or a hub id; rows and ids with an optional ``@revision``. Without
            one, a complete cached snapshot of ``main`` is used before the hub is asked.
        store: where digests of files are remembered, and models that had to be converted are kept.
        trust_remote_code: let the repository's own code run, which also needs a full commit hash as the revision.
        prompt: what is put before every text; None takes the model's own.
        recorded: the identity that the model had where its name was written down: its texts are prepared as they were
            there, and code runs only where it is still that. None where the name is the caller's own.
        download: ask the hub when the local cache does not have the model.
        progress: is told of a conversion before it starts.

    Raises:
        BenchError: the model cannot be had, is incomplete or damaged, has no safetensors, or needs code that is not
            trusted or not what was recorded.
    """
    parsed = ModelName.parse(name)
    folder, revision = _locate(parsed, store, progress, trust_remote_code=trust_remote_code, download=download)
    if reason := flaw(folder):
        raise BenchError(f"Model '{name}' cannot be used: {reason}.")
    raw = hub.read_config(folder)
    # What a package brings was checked against its row: whatever its configuration says, it runs no code.
    code = not (parsed.row and parsed.row.packages) and hub.check_remote_code(
        parsed.text, parsed.revision, raw, trust_remote_code=trust_remote_code
    )
    identity = model_identity(folder, store, code=code)
    if code and recorded is not None:
        _check_recorded(name, identity, recorded)
    use = use_of(name, folder, parsed.row, parsed.repo, prompt, recorded)
    return _describe(parsed, folder, revision, raw, identity, use)


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
    parsed: ModelName, folder: Path, revision: str | None, raw: dict[str, Any], identity: Mapping[str, str], use: Use
) -> ResolvedModel:
    code = "code" in identity
    try:
        with quiet_transformers():
            body = text_body(folder, raw, code=code)
    except (ValueError, KeyError) as error:
        raise BenchError(f"Model '{parsed.text}' is of a kind that this transformers does not know: {error}") from error
    except Exception as error:  # a class of transformers' for each kind of model reads its config.json as it likes
        raise BenchError(
            f"The config.json of model '{parsed.text}' is none that this transformers can read ({in_words(error)}): "
            "fetch it again."
        ) from error
    try:
        quantization(body.config)
        shape = body_shape(body.config, folder)
        check_layers(folder, shape.layers)
    except BenchError as error:
        raise BenchError(f"Model '{parsed.text}' cannot be used: {error}.") from error
    row = parsed.row
    causal = row.causal if row else _is_causal(body.config)
    positions = shape.positions if use.max_tokens is None else min(shape.positions, use.max_tokens)
    return ResolvedModel(
        name=parsed.text,
        folder=folder,
        row=row,
        revision=revision,
        architecture=body.architecture,
        layers=shape.layers,
        width=shape.width,
        causal=causal,
        max_positions=positions,
        prompt=use.prompt,
        remote_code=code,
        identity=identity,
        vocabulary=shape.vocabulary,
        lowercase=use.lowercase,
        own_pooling=use.pooling if use.pooling in poolings(causal=causal) else None,
        notes=use.notes,
    )


def _is_causal(config: Any) -> bool:
    """Whether a token sees only those before it: families that only generate, unless the config lifts the mask.

    Of an encoder and a decoder the encoder is read, whose tokens see each other; and some families that generate do so
    with a body that is bidirectional by default.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as GENERATE
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as FILL

    if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", False):
        return False
    if config.is_encoder_decoder or getattr(config, "attn_type", None) == "bi":
        return False
    if config.model_type in BIDIRECTIONAL:
        return bool(getattr(config, "is_decoder", False))
    decoder = config.model_type in GENERATE and config.model_type not in FILL
    return decoder or bool(getattr(config, "is_decoder", False))
