"""What is asked for becomes what is done: once, and under the backend whose settings were given."""

from typing import Any

import pytest

from bench.backends import base
from bench.backends.resolution import applying, choose, resolve
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings

ASKED = ExtractionSettings(device="cpu")
# What each setting that not every backend has may be, besides its default.
OTHERWISE: dict[str, Any] = {
    "attention": "eager",
    "gpu_memory_share": 0.5,
    "quantization": "8bit",
    "tensor_parallel": 2,
}


def test_every_setting_of_a_backend_is_a_field() -> None:
    claimed = {name for each in base.BACKENDS for name in base.backend(each).SETTINGS}
    assert claimed == set(OTHERWISE)
    assert claimed < set(ExtractionSettings.model_fields)
    for each in base.BACKENDS:
        assert not set(base.backend(each).INSTEAD) & set(base.backend(each).SETTINGS)


@pytest.mark.parametrize("setting", OTHERWISE)
@pytest.mark.parametrize("name", base.BACKENDS)
def test_what_is_another_backend_s_is_refused_and_says_whose_it_is(name: str, setting: str) -> None:
    module = base.backend(name)
    if setting in module.SETTINGS:
        return
    asked = ExtractionSettings(backend=name, **{setting: OTHERWISE[setting]})
    with pytest.raises(BenchError, match=f"The {name} backend has no `{setting}`, which is for .*vllm: ") as caught:
        resolve(asked)
    assert (module.INSTEAD.get(setting) or f"leave `{setting}` out, or use `backend='") in str(caught.value)
    assert applying(asked) == ExtractionSettings(backend=name), "an old file goes on without it, as it always did"


def test_auto_refuses_what_no_backend_here_has(minilm: ResolvedModel) -> None:
    asked = ASKED.model_copy(update={"backend": "auto", "gpu_memory_share": 0.5})
    assert applying(asked) == asked, "it may be for the backend that will be chosen"
    with pytest.raises(BenchError, match="no `gpu_memory_share`, which is for vllm"):
        choose(asked, [minilm])


def test_settings_are_resolved_once(minilm: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = base.backend("transformers"), []
    plain = module.resolve_settings
    monkeypatch.setattr(module, "resolve_settings", lambda asked: calls.append(asked) or plain(asked))
    first = choose(ASKED)
    settings = choose(first, [minilm])
    assert settings is first
    assert isinstance(settings, ResolvedSettings)
    module.identity(minilm, settings)
    module.open(minilm, settings, deepest=1).close()
    assert calls == [ASKED]
