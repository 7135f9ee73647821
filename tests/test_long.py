"""Long documents: cut, their two ends, or windows whose pooled states are combined, from the tokens to a package."""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from formats.make import COMMON, SEARCH, SPACE, WORDS
from pydantic import ValidationError
from small import exported_and_checked, here, said  # noqa: F401

import bench
from bench.backends import base, forms
from bench.backends.batches import in_order
from bench.backends.layout import pieces
from bench.backends.passes import Pass
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.backends.windows import combine
from bench.cost import measure
from bench.errors import BenchError
from bench.extraction import identity
from bench.models.resolve import ResolvedModel, resolve
from bench.packaging.graphs.build import _tokenizer
from bench.proof import open_model
from bench.space.files import load
from bench.specs import ExtractionSettings
from bench.views import Form, Framing

SETTINGS = ResolvedSettings(backend="transformers", device="cpu", dtype="float32", max_length=10, attention="sdpa")
SHORT = "crop soy port"
LONG = " ".join([*WORDS["grain"], *WORDS["oil"], *WORDS["money"][:5]])
TEXTS = [LONG, SHORT, " ".join(COMMON), "port"]
CLS, SEP = 2, 3


@pytest.fixture
def model(here: Path) -> ResolvedModel:  # noqa: F811
    return resolve(str(here / "model"), here / "store")


def under(model: ResolvedModel, **form: Any) -> ResolvedModel:
    return model.under("m:form", Form(**form), ())


def encode(model: ResolvedModel, texts: Sequence[str], **settings: Any) -> base.Encoded:
    return Tokenizer(model, SETTINGS.model_copy(update=settings)).encode(texts)


def own(model: ResolvedModel, text: str) -> list[int]:
    """The text's tokens, without those around it."""
    return encode(model, [text], max_length=32).text(0).tolist()[1:-1]


def states(model: ResolvedModel, texts: Sequence[str], folder: Path, settings: ResolvedSettings = SETTINGS) -> Any:
    """Pooled states [texts, layers, poolings, width]."""
    opened = open_model(model, settings, folder)
    encoded, rows = opened.encode(texts), range(len(texts))
    return in_order(opened.hidden_states(encoded, rows, range(model.layers + 1)), rows)


def plain(model: ResolvedModel, ids: Sequence[int], folder: Path) -> tuple[torch.Tensor, ...]:
    """Transformers' own states of every token at every layer, [1, t, width] each."""
    opened: Any = open_model(model, SETTINGS, folder)
    tokens = torch.tensor([list(ids)])
    with torch.inference_mode():
        out = opened._body.module(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
    found: tuple[torch.Tensor, ...] = out.hidden_states
    return found


def test_pieces_cover_a_text_and_none_is_longer_than_its_room() -> None:
    rng = random.Random(0)
    for _ in range(300):
        count, room = rng.randint(1, 60), rng.randint(1, 20)
        ids, overlap = list(range(count)), rng.randrange(room)
        windows = pieces(ids, room, "chunks", overlap)
        assert max(map(len, windows)) <= room
        assert [*windows[0], *(each for window in windows[1:] for each in window[overlap:])] == ids
        assert all(len(window) > overlap for window in windows[1:])
        (cut,) = pieces(ids, room, "truncate", 0)
        (ends,) = pieces(ids, room, "head+tail", 0)
        assert cut == windows[0] == ids[:room]
        assert len(ends) == len(cut)
        head = -(-room // 2)
        assert ends == (ids if count <= room else [*ids[:head], *ids[count - room // 2 :]])


def test_the_two_ends_of_a_long_text_are_read(model: ResolvedModel) -> None:
    found, tokens = encode(under(model, long="head+tail"), TEXTS), own(model, LONG)
    assert found.text(0).tolist() == [CLS, *tokens[:4], *tokens[-4:], SEP]
    assert found.truncated.tolist() == [True, False, True, False]
    assert found.windows is None


def test_windows_are_texts_within_the_limit_that_share_tokens(model: ResolvedModel) -> None:
    found, tokens = encode(under(model, long="chunks", overlap=3), TEXTS), own(model, LONG)
    assert found.windows is not None
    each, firsts = found.windows.each, found.windows.firsts
    assert firsts.tolist() == [0, 4, 5, 8, 9]
    windows = [each.text(place).tolist() for place in range(4)]
    assert windows == [[CLS, *tokens[start : start + 8], SEP] for start in (0, 5, 10, 15)]
    assert found.text(0).tolist() == [token for window in windows for token in window]
    assert found.lengths.tolist() == [each.lengths[a:b].sum() for a, b in pairwise(firsts)]
    assert not found.truncated.any()
    assert each.truncated.size == 9


@pytest.mark.parametrize("form", [{"long": "head+tail"}, {"long": "chunks"}])
@pytest.mark.parametrize("prompt", [None, "the new ", "the {text} last week"])
def test_a_short_text_is_the_same_in_every_form(model: ResolvedModel, form: dict[str, Any], prompt: str | None) -> None:
    for pooled in ("all", "text"):
        cut, other = (encode(under(model, prompt=prompt, pooled=pooled, **each), [SHORT]) for each in ({}, form))
        spans = other.spans if other.windows is None else other.windows.each.spans
        assert (cut.ids.tolist(), cut.offsets.tolist()) == (other.ids.tolist(), other.offsets.tolist())
        assert (cut.spans is None) == (spans is None)
        assert cut.spans is None or spans is None or cut.spans.tolist() == spans.tolist()


def test_every_window_has_the_prompt_of_which_nothing_is_pooled_where_the_text_alone_is(model: ResolvedModel) -> None:
    asked = under(model, long="chunks", overlap=1, prompt="the {text} week", pooled="text")
    found, tokens = encode(asked, [LONG]).windows, own(model, LONG)
    assert found is not None
    the, week = own(model, "the week")
    assert found.each.text(1).tolist() == [CLS, the, *tokens[5:11], week, SEP]
    assert found.each.spans is not None
    assert found.each.spans[1].tolist() == [2, 8]


@pytest.mark.parametrize("how", ["mean", "max", "top-2", "top-9"])
def test_windows_are_combined_as_computed_by_hand(model: ResolvedModel, how: str, tmp_path: Path) -> None:
    asked = under(model, long="chunks", overlap=3, combine=how)
    found, tokens = states(asked, TEXTS, tmp_path), own(model, LONG)
    windows = [plain(model, [CLS, *tokens[start : start + 8], SEP], tmp_path) for start in (0, 5, 10, 15)]
    for layer in range(model.layers + 1):
        for place, name in enumerate(model.poolings):
            pooled = torch.stack(
                [
                    {"mean": each[layer][0].mean(0), "last": each[layer][0, -1], "first": each[layer][0, 0]}[name]
                    for each in windows
                ]
            )
            if how == "mean":
                weights = torch.tensor([10.0, 10, 10, 8])
                expected = (weights[:, None] * pooled).sum(0) / weights.sum()
            elif how == "max":
                expected = pooled.max(0).values
            else:
                centre = pooled.mean(0)
                closest = sorted(range(4), key=lambda row: -torch.cosine_similarity(pooled[row], centre, dim=0).item())
                chosen = closest[:2] if how == "top-2" else closest
                # where all windows have the same state, whichever are taken
                expected = pooled[chosen].mean(0)
            torch.testing.assert_close(found[0, layer, place], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1:2], states(model, [SHORT], tmp_path), atol=1e-6, rtol=1e-5)


def test_the_first_of_all_windows_is_what_is_left_of_a_text_that_is_cut(model: ResolvedModel) -> None:
    first = under(model, long="chunks", combine="first", window=8)
    assert first.framing == Framing(window=8)
    shorter = SETTINGS.model_copy(update={"max_length": 8})
    assert identity(first, SETTINGS) == identity(model, shorter) | {"model": "m"}


def test_windows_without_overlap_under_mean_weigh_every_token_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(17, 1, 1, 6, generator=generator)
    parts = tokens.split([5, 5, 5, 2])
    pooled = torch.stack([part.mean(0) for part in parts])
    found = combine(pooled, torch.tensor([5.0, 5, 5, 2]), "mean")
    torch.testing.assert_close(found, tokens.mean(0))
    assert combine(pooled, torch.ones(4), "max").tolist() == pooled.amax(0).tolist()
    torch.testing.assert_close(combine(pooled, torch.ones(4), "top-4"), pooled.mean(0))
    likely = max(range(4), key=lambda row: torch.cosine_similarity(pooled[row], pooled.mean(0), dim=-1).item())
    torch.testing.assert_close(combine(pooled, torch.ones(4), "top-1"), pooled[likely])


def test_a_pass_goes_on_with_windows_and_groups_change_nothing(
    model: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = under(model, long="chunks", overlap=2)
    whole = states(asked, TEXTS, tmp_path)
    opened = open_model(asked, SETTINGS, tmp_path)
    walk = Pass(opened, TEXTS)
    first = walk.states(range(4), [0, 1], last=False)
    later = walk.states([0, 2], [2])
    torch.testing.assert_close(torch.cat([first[[0, 2]], later], 1), whole[[0, 2]], atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(forms, "HELD_BYTES", 1)
    torch.testing.assert_close(states(asked, TEXTS, tmp_path), whole, atol=1e-5, rtol=1e-4)
    # another form over the same weights reads in its own way, and does not free them
    other = forms.under(opened, model)
    other.close()
    rows = range(4)
    found = in_order(other.hidden_states(other.encode(TEXTS), rows, range(3)), rows)
    torch.testing.assert_close(found, states(model, TEXTS, tmp_path), atol=1e-5, rtol=1e-4)


def test_the_cost_counts_every_window(model: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join([LONG] * 20)] * 4
    opened: Any = open_model(under(model, long="chunks", overlap=3), SETTINGS, tmp_path)
    timed, time_layers = [], opened.opened.time_layers

    def noting(encoded: base.Encoded, rows: Sequence[int]) -> base.LayerTimes:
        timed.append(int(encoded.lengths[list(rows)].sum()))
        found: base.LayerTimes = time_layers(encoded, rows)
        return found

    monkeypatch.setattr(opened.opened, "time_layers", noting)
    found = measure(opened, texts, seed=0, seconds=0.2)
    # of 420 tokens a window has five that are new, and three and two around it that others have as well
    assert max(timed) == found.tokens > 4 * 420 * 10 / 5 * 0.95


def test_every_way_has_an_identity_of_its_own_and_the_usual_one_what_it_had(model: ResolvedModel) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"long": "head+tail"},
        {"long": "chunks"},
        {"long": "chunks", "overlap": 2},
        {"long": "chunks", "combine": "max"},
        {"long": "chunks", "window": 8},
        {"echo": True},
        {"window": 8},
    ]
    found = [token_identity(under(model, **way), SETTINGS) for way in ways]
    assert len({json.dumps(each) for each in found}) == len(ways)
    assert found[0] == token_identity(model, SETTINGS)
    assert not {"long", "overlap", "combine", "eos", "echo"} & set(found[0])
    assert token_identity(under(model, long="chunks", overlap=1), SETTINGS) == found[2]
    assert "long" not in ExtractionSettings().model_dump()


@pytest.mark.parametrize(
    "form",
    [
        {"overlap": 2},
        {"long": "head+tail", "combine": "max"},
        {"long": "chunks", "combine": "top-0"},
        {"long": "chunks", "window": 4, "overlap": 4},
        {"long": "chunks", "pair": True},
        {"eos": True, "pair": True},
        {"eos": True, "pooled": "text", "prompt": "a {text} b"},
        {"echo": True, "pooled": "text"},
    ],
)
def test_a_form_that_makes_no_sense_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Form.model_validate(form)


def test_the_space_of_the_examples_is_right() -> None:
    space = load(str(Path(__file__).parents[1] / "docs" / "examples" / "long.toml")).over(())
    assert [name.partition(":")[2] for name in space.sources.models] == ["cut", "ends", "windows", "typical"]


def test_what_leaves_no_room_is_refused(model: ResolvedModel) -> None:
    for more in ({"overlap": 8}, {"overlap": 5, "prompt": "the new crop {text} soy"}):
        with pytest.raises(BenchError, match="leaves nothing new in a window"):
            encode(under(model, long="chunks", **more), [LONG])
    with pytest.raises(BenchError, match="which is read twice"):
        encode(under(model, echo=True), [LONG], max_length=3)
    with pytest.raises(BenchError, match="no end-of-sequence token"):
        encode(under(model, eos=True), [LONG])
    long = replace(model, framing=Framing(long="chunks"))
    with pytest.raises(BenchError, match="leave out `long`"):
        long.under("m:pair", Form(pair=True), ("a", "b"))


INPUTS = """[inputs.cut]
[inputs.windows]
long = "chunks"
overlap = 2

[fusion]"""


def long_rows(folder: Path) -> None:
    """What tells the classes apart stands at the end, behind more common words than are read at once."""
    rng = random.Random(1)
    for name, count in (("train.csv", 60), ("test.csv", 30)):
        with (folder / name).open("w", newline="") as file:
            write = csv.writer(file)
            write.writerow(["text", "label"])
            for index in range(count):
                label = sorted(WORDS)[index % 3]
                words = [*rng.choices(COMMON, k=16 + index % 3), *rng.choices(WORDS[label], k=12)]
                write.writerow([" ".join(words if index % 5 else words[-5:]), label])


def test_ways_with_long_texts_are_searched_exported_and_checked(here: Path) -> None:  # noqa: F811
    long_rows(here)
    text = SPACE.replace("[fusion]", INPUTS).replace('["mlp", "logistic"]', '["ridge"]').replace(', "last"', "")
    only = '[objectives]\nmaximize = ["accuracy_mean"]\nminimize = []\n'
    (here / "space.toml").write_text(text.replace("layers_per_model = 2", "at_most = 1") + only)
    printed = said("search", *SEARCH, "--trials", "9", "--study", "l", "--no-tracking")
    assert "72 of 90 texts were cut to the maximum length for ./model:cut." in printed
    assert "./model:windows." not in printed
    opened = bench.reopen("l", tracking=False).study
    assert len(set(opened.material.shelves.values())) == 2
    best = {}
    for record in opened.journal.of("complete"):
        (name,) = record.candidate.models
        best[name] = max(record, best.get(name, record), key=lambda each: each.metrics["accuracy_mean"])
    scores = {name.partition(":")[2]: record.metrics["accuracy_mean"] for name, record in best.items()}
    assert scores["cut"] < 0.6 < 0.9 < scores["windows"]
    exported_and_checked(opened, best["./model:windows"])
    packaged = json.loads((here / "package" / "artifacts" / "pipeline" / "pipeline.json").read_text())["models"]
    assert packaged[0]["framing"]["long"] == "chunks"
    with pytest.raises(BenchError, match="which no graph does yet"):
        _tokenizer("./model:windows", 1, opened.material, here)


def test_the_settings_way_holds_where_no_form_has_one(here: Path) -> None:  # noqa: F811
    long_rows(here)
    (here / "space.toml").write_text(SPACE.replace('["mlp", "logistic"]', '["ridge"]'))
    printed = said("search", *SEARCH, "--long", "head+tail", "--trials", "2", "--study", "c", "--no-tracking")
    assert "72 of 90 texts were cut in the middle to the maximum length for ./model." in printed
    opened = bench.reopen("c", tracking=False).study
    (found,) = opened.material.identities.values()
    assert found["long"] == "head+tail"
    exported_and_checked(opened, opened.journal.of("complete")[0])


def test_where_no_text_is_long_the_ways_are_one_candidate(here: Path) -> None:  # noqa: F811
    text = SPACE.replace("[fusion]", INPUTS).replace('["mlp", "logistic"]', '["ridge"]')
    (here / "space.toml").write_text(text)
    printed = said("search", *SEARCH, "--trials", "3", "--study", "s", "--no-tracking", "--json")
    found = json.loads(printed)
    assert found["models_absent"] == {
        "./model:windows": "no text has more than 16 tokens, so that it reads what ./model:cut reads"
    }
    assert set(bench.reopen("s", tracking=False).study.material.models) == {"./model:cut"}
