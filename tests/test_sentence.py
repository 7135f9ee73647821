"""What sentence-transformers' files say of a model's use is done, or said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bodies import in_cache, resolve
from click.testing import CliRunner
from conftest import TEXTS, edit_config
from transformers import AutoTokenizer

from bench.backends import resolution
from bench.backends.opening import remarks
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.cli.main import cli
from bench.errors import BenchError
from bench.home import store_home
from bench.models.resolve import ResolvedModel
from bench.models.selection import select
from bench.packaging.weights import pack
from bench.progress import SILENT
from bench.specs import ExtractionSettings

INPUTS = Path(__file__).with_name("inputs") / "18"
SETTINGS = resolution.resolve(ExtractionSettings(device="cpu", backend="transformers"))


@pytest.fixture
def made(tiny: Callable[..., Path], tmp_path: Path, hub_cache: Path) -> Callable[..., Path]:
    """A model with some of the inputs laid over it."""

    def make(name: str, kind: str = "BertConfig", **options: Any) -> Path:
        folder = Path(shutil.copytree(tiny(kind, **options), tmp_path / name))
        return Path(shutil.copytree(INPUTS / name, folder, dirs_exist_ok=True)) if (INPUTS / name).is_dir() else folder

    return make


def ids(model: ResolvedModel, texts: list[str]) -> list[list[int]]:
    encoded = Tokenizer(model, SETTINGS).encode(texts)
    return [encoded.text(row).tolist() for row in range(len(encoded))]


def test_prompt_length_case_and_pooling_are_the_folders_own(made: Callable[..., Path]) -> None:
    model = resolve(str(made("prompted")))
    assert (model.prompt, model.lowercase, model.max_positions, model.own_pooling) == ("Query: ", True, 16, "first")
    identity = token_identity(model, SETTINGS)
    assert (identity["prompt"], identity["lowercase"], identity["max_length"]) == ("Query: ", True, 16)
    plain = AutoTokenizer.from_pretrained(model.folder)
    expected = [plain(f"query: {text.lower()}", truncation=True, max_length=16)["input_ids"] for text in TEXTS]
    assert ids(model, [text.upper() for text in TEXTS]) == expected
    assert max(map(len, expected)) == 16
    said = list(remarks(model, SETTINGS))
    assert said[:2] == ["every text begins with 'Query: '", "texts are put in lower case"]
    assert "at most 16 tokens, and `max_length` is 512" in said[2]


@pytest.mark.parametrize(
    ("files", "prompt"),
    [
        ({"prompts": {"query": "Q: ", "Classification": "C: "}, "default_prompt_name": None}, "C: "),
        ({"prompts": {"query": "Q: ", "document": "D: "}, "default_prompt_name": None}, ""),
        ({"prompts": {"query": "Q: ", "document": ""}, "default_prompt_name": "document"}, ""),
        ({"prompts": None}, ""),
        ({}, ""),
    ],
)
def test_a_prompt_is_the_default_one_or_the_one_for_classification(
    made: Callable[..., Path], files: dict[str, Any], prompt: str
) -> None:
    folder = made("plain")
    (folder / "config_sentence_transformers.json").write_text(json.dumps(files))
    assert resolve(str(folder)).prompt == prompt


def test_without_such_files_nothing_of_an_identity_changes(made: Callable[..., Path], minilm: ResolvedModel) -> None:
    for model, most in ((resolve(str(made("plain"))), 120), (minilm, 512)):
        assert token_identity(model, SETTINGS) == {
            "tokenizers": token_identity(model, SETTINGS)["tokenizers"],
            "max_length": most,
            "truncation": "right",
            "special_tokens": True,
            "prompt": "",
        }
    assert minilm.own_pooling == "mean"
    assert minilm.notes == ("its authors cut texts to 256 tokens",)


def test_what_comes_behind_the_body_is_said(made: Callable[..., Path]) -> None:
    said = " | ".join(resolve(str(made("dense"))).notes)
    assert "its own pooling (max) is none of bench's" in said
    assert "its Dense after the pooling is left out" in said


def test_a_pooling_that_leaves_out_the_prompt_is_refused_with_a_prompt(made: Callable[..., Path]) -> None:
    folder = str(made("dense"))
    shutil.copy(INPUTS / "prompted" / "config_sentence_transformers.json", folder)
    with pytest.raises(BenchError, match=r"include_prompt.*`prompts="):
        resolve(folder)
    assert resolve(folder, prompt="").prompt == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("modules.json", "{}", "it is no list of modules"),
        ("modules.json", "[", "not valid JSON"),
        ("modules.json", '[{"type": 1}]', "no type or path"),
        (
            "modules.json",
            '[{"type": "sentence_transformers.models.Pooling", "path": "../up"}]',
            "outside of its folder",
        ),
        (
            "modules.json",
            '[{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]',
            "name that",
        ),
        ("modules.json", '[{"type": "sentence_transformers.models.StaticEmbedding", "path": ""}]', "no layers"),
        ("config_sentence_transformers.json", "[]", "it is no object"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 1}}', "no texts by name"),
        (
            "config_sentence_transformers.json",
            '{"prompts": {"query": "Q: "}, "default_prompt_name": "qery"}',
            "did you mean 'query'",
        ),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}', "max_seq_length is 'long'"),
        ("sentence_bert_config.json", '{"max_seq_length": 0}', "max_seq_length is 0"),
        ("sentence_roberta_config.json", '{"max_seq_length": true}', "max_seq_length is True"),
    ],
)
def test_what_cannot_be_followed_is_refused(made: Callable[..., Path], name: str, content: str, words: str) -> None:
    folder = made("plain")
    (folder / name).write_text(content)
    with pytest.raises(BenchError, match=words):
        resolve(str(folder))


def test_a_hub_models_card_is_known_where_no_file_says_its_prompt(made: Callable[..., Path], hub_cache: Path) -> None:
    for repo in ("intfloat/e5-small-v2", "intfloat/multilingual-e5-base", "somebody/else"):
        in_cache(hub_cache, repo, made(repo.replace("/", "-")))
    assert resolve("intfloat/e5-small-v2").prompt == "query: "
    assert resolve("intfloat/multilingual-e5-base").prompt == "query: "
    assert resolve("somebody/else").prompt == ""


def test_prompts_are_given_by_model(made: Callable[..., Path]) -> None:
    first, second = str(made("prompted")), str(made("plain"))

    def prompts(*given: str) -> list[str]:
        settings = ExtractionSettings(prompts=given)
        return [model.prompt for model in select([first, second], settings, store_home(), SILENT, named=True).models]

    assert prompts() == ["Query: ", ""]
    assert prompts(f"{first}=", f"{second}=a = b, c: ") == ["", "a = b, c: "]
    for wrong, words in (("text", "takes MODEL=TEXT"), (f"{second}x=y", f"did you mean '{second}'")):
        with pytest.raises(BenchError, match=words):
            prompts(wrong)


def test_the_command_line_takes_a_prompt_for_each_model(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{TEXTS[index % 7]} {index},{'ab'[index % 2]}\n" for index in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    model = str(made("plain"))
    asked = ["search", "--space", "quickstart", "--dataset", "rows.csv", "--models", model, "--device", "cpu"]
    ran = CliRunner().invoke(cli, [*asked, "--dry-run", "--prompts", f"{model}=classify, please: "])
    assert ran.exit_code == 0, ran.output
    assert "every text begins with 'classify, please: '" in ran.output


def test_what_was_recorded_is_prepared_as_it_was(made: Callable[..., Path]) -> None:
    """By an earlier version, say, which did not read these files."""
    model = resolve(str(made("prompted")), recorded={"prompt": "", "max_length": 100})
    assert (model.prompt, model.lowercase, model.max_positions) == ("", False, 100)


LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}


@pytest.mark.parametrize(
    ("kind", "options", "changes", "positions"),
    [
        ("MPNetConfig", {"pad_token_id": 1}, {}, 126),
        ("RobertaConfig", {"pad_token_id": 1, "type_vocab_size": 1}, {}, 126),
        ("BertConfig", {}, {"max_position_embeddings": -1}, 2**31 - 1),
        (
            "Phi3Config",
            {"num_key_value_heads": 2},
            {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64},
            64,
        ),
    ],
    ids=["mpnet", "roberta", "endless", "longrope"],
)
def test_a_text_has_no_more_tokens_than_the_body_has_positions(
    made: Callable[..., Path], kind: str, options: dict[str, Any], changes: dict[str, Any], positions: int
) -> None:
    folder = made("positions", kind, **options)
    edit_config(folder, **changes)
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model_max_length": 10**30}))
    assert resolve(str(folder)).max_positions == positions


def test_a_models_own_pooling_is_marked_before_a_search(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{TEXTS[index % 7]} {index},{'ab'[index % 2]}\n" for index in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    asked = ["search", "--dataset", "rows.csv", "--models", str(made("prompted")), "--device", "cpu", "--dry-run"]
    ran = CliRunner().invoke(cli, [*asked, "--json"])
    assert json.loads(ran.stdout)["models"][0]["own_pooling"] == "first"
    ran = CliRunner().invoke(cli, [*asked, "--space", "quickstart"])
    assert "pool by 'first', which is none of the space's poolings (mean, last)" in ran.output


def test_weights_in_a_package_keep_how_texts_are_prepared(made: Callable[..., Path], tmp_path: Path) -> None:
    model = resolve(str(made("prompted")))
    packed = pack(model, SETTINGS, 1, tmp_path, "body").resolved(model.name, tmp_path)
    assert token_identity(packed, SETTINGS) == token_identity(model, SETTINGS)
    assert ids(packed, list(TEXTS)) == ids(model, list(TEXTS))


def test_what_other_programs_left_out_of_the_cache_is_fetched(
    made: Callable[..., Path], hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers fetches weights and tokenizer alone, and a prompt must not hang on who was first to fetch."""
    whole, asked = made("prompted"), []
    snapshot = in_cache(hub_cache, "owner/name", whole)
    shutil.rmtree(snapshot / "1_Pooling")
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (snapshot / name).unlink()

    def download(repo: str, name: str, *, revision: str, etag_timeout: float) -> None:
        asked.append(name)
        if not (whole / name).is_file():
            raise OSError(f"{repo} has no {name}")
        (snapshot / name).parent.mkdir(exist_ok=True)
        shutil.copy(whole / name, snapshot / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert resolve("owner/name").prompt == "", "the hub cannot be reached"
    monkeypatch.setattr("bench.models.hub.refusal", lambda repo, revision: None)
    assert resolve("owner/name", download=False).prompt == ""
    assert not asked
    model = resolve("owner/name")
    assert (model.prompt, model.max_positions, model.own_pooling) == ("Query: ", 16, "first")
    assert "adapter_config.json" in asked
