"""Models of the Hugging Face hub: the local cache first, then one download, safetensors only."""

import functools
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.models.checkpoint import KNOWN_WITHOUT_CODE
from bench.models.digests import TOKENIZER, missing
from bench.models.flaws import ADAPTER
from bench.models.jsons import read_object
from bench.models.sentence import FILES, pooling_files

FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT_SECONDS = 5.0
WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json")
BESIDE = (*FILES, *ADAPTER[:1], "[0-9]*/config.json", "README.md")
"""Small files that say how the model is used: of sentence-transformers and its modules, of an adapter, and its card."""
SILENT = "it is not in the local hub cache, and the hub cannot be reached or is switched off (HF_HUB_OFFLINE)."
NOT_FETCHED = "not downloaded yet; a dry run fetches nothing"


def cached_snapshot(repo: str, revision: str | None) -> Path | None:
    """The complete snapshot of `repo` in the local hub cache, whose name is its commit; None when there is none."""
    folder = _cached(repo, revision)
    return None if folder is None or missing(folder) else folder


def _cached(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repo, "config.json", revision=revision or "main")
    except HFValidationError as error:
        raise BenchError(f"Model '{repo}' cannot be fetched: {explain(repo, error)}") from None
    return Path(config).parent if isinstance(config, str) else None


def snapshot(repo: str, revision: str | None, *, trust_remote_code: bool, download: bool) -> Path:
    """The folder of `repo` at `revision` (default: the cached one, else ``main``), downloaded if need be.

    The folder's name is the commit. Only the configuration, the tokenizer, what sentence-transformers says of the
    model, safetensors and, for trusted code, Python files are fetched; code is refused before any weights are. Without
    `download`, what is not cached is an error.

    Raises:
        BenchError: no such repository or revision, gated, unreachable or not asked, pickles only, or untrusted code.
    """
    if folder := cached_snapshot(repo, revision):
        check_remote_code(repo, revision, read_config(folder), trust_remote_code=trust_remote_code)
        if download:
            _complete(repo, folder)
        return folder
    if not download:
        raise BenchError(f"Model '{repo}' is {NOT_FETCHED}. Fetch it first, or leave out `dry_run`.")
    if reason := refusal(repo, revision):
        if (folder := _cached(repo, revision)) and (lack := missing(folder)):
            reason = f"{reason} What the cache has of it is not complete: {lack}."
        raise BenchError(f"Model '{repo}' cannot be fetched: {reason}")
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        config = Path(hf_hub_download(repo, "config.json", revision=revision, etag_timeout=TIMEOUT_SECONDS))
        code = check_remote_code(repo, revision, read_config(config.parent), trust_remote_code=trust_remote_code)
        patterns = ["config.json", *TOKENIZER, *BESIDE, *WEIGHTS, *(["*.py"] if code else [])]
        # Of folders only what describes a module: others hold copies in other formats.
        folder = Path(
            snapshot_download(
                repo,
                revision=config.parent.name,
                allow_patterns=patterns,
                ignore_patterns=["*/*.safetensors", "*/*.safetensors.index.json", "*/*.py"],
            )
        )
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise BenchError(f"Model '{repo}' cannot be fetched: {explain(repo, error)}") from error
    if reason := missing(folder):
        raise BenchError(f"Model '{repo}' cannot be used: {reason}. Choose a repository with safetensors weights.")
    return folder


def _complete(repo: str, folder: Path) -> None:
    """Fetch the small files beside the weights of a cached snapshot, which other programs leave out, where they exist.

    The cache remembers what a repository does not have, so that the hub is asked once; where it cannot be reached, the
    snapshot is used as it is.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    def fetch(name: str) -> None:
        if try_to_load_from_cache(repo, name, revision=folder.name) is not None or refusal(repo, folder.name):
            return
        # what is not there, or not now
        with suppress(EntryNotFoundError, HfHubHTTPError, OSError):
            hf_hub_download(repo, name, revision=folder.name, etag_timeout=TIMEOUT_SECONDS)

    for name in (*FILES, *ADAPTER[:1]):
        fetch(name)
    for path in pooling_files(folder):
        fetch(path)


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json.

    Raises:
        BenchError: it is not there, or not a JSON object.
    """
    try:
        found = read_object(folder / "config.json")
    except BenchError as error:
        raise BenchError(f"The model in '{folder}' cannot be used: {error}: fetch it again.") from error
    if found is None:
        raise BenchError(f"The model in '{folder}' cannot be used: it has no config.json.")
    return found


def needs_remote_code(config: dict[str, Any]) -> bool:
    """Whether a model's config.json names classes that neither transformers nor bench itself has."""
    from transformers import CONFIG_MAPPING

    kind = str(config.get("model_type"))
    return "auto_map" in config and kind not in CONFIG_MAPPING and kind not in KNOWN_WITHOUT_CODE


def check_remote_code(name: str, revision: str | None, config: dict[str, Any], *, trust_remote_code: bool) -> bool:
    """Whether the model's own code is to run; it may only from this repository, trusted, at a full commit hash.

    Raises:
        BenchError: code is needed and one of these does not hold.
    """
    if not needs_remote_code(config):
        return False
    refuse_untrusted(name, revision, trust_remote_code=trust_remote_code)
    if not isinstance(config["auto_map"], dict):
        raise BenchError(f"Model '{name}' names no code in its config.json (auto_map): fetch it again.")
    if elsewhere := [str(where) for where in config["auto_map"].values() if "--" in str(where)]:
        raise BenchError(
            f"Model '{name}' takes its code from another repository ({elsewhere[0]}), which cannot be pinned."
        )
    return True


def refuse_untrusted(name: str, revision: str | None, *, trust_remote_code: bool) -> None:
    """Raise unless remote code is trusted and `revision` is a full commit hash."""
    if not (trust_remote_code and FULL_COMMIT.fullmatch(revision or "")):
        raise BenchError(
            f"Model '{name}' runs code from its repository. Read that code, then pass `trust_remote_code` and name "
            f"the commit you read: {name.partition('@')[0]}@<40 hex digits>."
        )


def explain(repo: str, error: Exception) -> str:
    """Why the hub refused, and what to do, as a sentence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    sentences: dict[type[Exception], str] = {
        GatedRepoError: f"it is gated; accept its terms at https://huggingface.co/{repo} and run: hf auth login",
        RepositoryNotFoundError: "the hub knows no such repository, or it is private (then run: hf auth login).",
        RevisionNotFoundError: "the hub knows no such revision of it.",
        RemoteEntryNotFoundError: "it has no config.json, so it is no transformers model.",
        LocalEntryNotFoundError: SILENT,
        HFValidationError: "that is no hub id (owner/name).",
    }
    return next((text for kind, text in sentences.items() if isinstance(error, kind)), f"{error}")


@functools.cache
def refusal(repo: str, revision: str | None) -> str | None:
    """Why `repo` cannot be had from the hub, asked with one short request; None when it can."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE or _unreachable:
        return SILENT
    try:
        get_hf_file_metadata(hf_hub_url(repo, "config.json", revision=revision), timeout=TIMEOUT_SECONDS)
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError) as error:
        return explain(repo, error)
    except Exception:  # noqa: BLE001 - the HTTP library's own errors, and it is not the same one in every version
        # No use in waiting for the same silence once for every model.
        _unreachable.append(repo)
        return SILENT
    return None


_unreachable: list[str] = []
