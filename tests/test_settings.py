"""A setting is said once, as a field: the options, the keywords and the help follow from it."""

import inspect
import re
from typing import Annotated, Literal

import click
import keywords
import pytest
from click.testing import CliRunner
from pydantic import Field

import bench
from bench import api
from bench.cli.fields import options_of
from bench.cli.main import cli
from bench.cli.words import in_options
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.settings import given, settings_of, takes
from bench.space.objectives import Objectives
from bench.specs import ExtractionSettings, Hint, Spec
from bench.study.settings import Constraints, SearchRequest, search_request

OF_COMMANDS = {"search": "SearchKeywords", "extract": "ExtractKeywords", "reproduce": "ReproduceKeywords"}


def test_the_keywords_for_type_checkers_are_those_of_the_fields() -> None:
    assert keywords.FILE.read_text() == keywords.text(), "run python tests/keywords.py"


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_options_and_keywords_are_the_same(command: str) -> None:
    options = {each.name: each for each in cli.commands[command].params if isinstance(each, click.Option)}
    settings = api.KEYWORDS[OF_COMMANDS[command]]
    taken_by_itself = any(each.name == "named" for each in cli.commands[command].params)
    assert set(settings) <= set(options)
    for keyword, setting in settings.items():
        option = options[keyword]
        assert option.opts == ["--" + keyword.replace("_", "-")]
        assert option.help is not None
        assert option.help.startswith(in_options(setting.words))
        # a command that takes the data set by itself cannot require the option
        assert option.required == (setting.required and not taken_by_itself)
        if not setting.required and setting.kind is not bool:
            assert option.default == setting.default or setting.default is None


def test_help_shows_every_setting_with_its_type_default_and_words() -> None:
    shown = inspect.signature(bench.search).parameters
    assert str(shown["max_train"]) == "max_train: 'int | None' = None"
    assert str(shown["trials"]) == "trials: 'int | None' = 50"
    words = inspect.getdoc(bench.search) or ""
    for keyword, setting in api.SEARCH_SETTINGS.items():
        assert keyword in shown
        assert keyword == "dataset" or f"{keyword}: {setting.words}" in words


def test_values_that_are_not_given_are_the_fields_defaults() -> None:
    request = search_request(dataset="r8", space="quickstart")
    assert request.extraction == ExtractionSettings()
    assert request.constraints == Constraints()
    assert request.dataset == DatasetRequest(name="r8")
    assert search_request(**dict.fromkeys(api.SEARCH_SETTINGS) | {"dataset": "r8", "space": "quickstart"}) == request
    assert given(Protocol, {"seed": 3}) == Protocol(seed=3)


def test_a_seed_is_the_data_sets_and_the_protocols() -> None:
    request = search_request(dataset="r8", space="quickstart", seed=7, sampler="random")
    assert (request.dataset.seed, request.protocol.seed, request.space.sampler.name) == (7, 7, "random")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_train": 1}, "'max_train' cannot be 1: it should be greater than or equal to 2"),
        ({"dtype": "flot32"}, "'dtype' cannot be 'flot32': did you mean 'float32'"),
        ({"max_latency_ms": float("inf")}, "'max_latency_ms' cannot be inf"),
        ({"sampler": "rndom"}, "did you mean 'random'"),
        ({"folds": 3}, "has no setting 'folds'"),
        ({"objective": "acuracy"}, "did you mean 'accuracy'"),
        ({"objective": "accuracy:flor"}, "no aggregation 'flor': did you mean 'floor'?"),
        ({"objective": "f1:std"}, "f1_std is a spread"),
        ({"objective": "latency_ms"}, "latency_ms is a cost"),
    ],
)
def test_a_value_out_of_bounds_is_said_by_its_keyword(values: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=re.escape(message)):
        search_request(dataset="r8", space="quickstart", **values)


@pytest.mark.parametrize(
    ("asked", "maximize", "minimize"),
    [
        ("accuracy", ("accuracy_floor",), ("latency_ms",)),
        ("balanced_accuracy:low", ("balanced_accuracy_low",), ("latency_ms",)),
        ("f1.grain:mean", ("f1.grain_mean",), ("latency_ms",)),
        ("mcc_mean", ("mcc_mean",), ("latency_ms",)),
        ("log_loss", (), ("log_loss_worst", "latency_ms")),
        ("brier:floor", (), ("brier_worst", "latency_ms")),
    ],
)
def test_what_is_searched_for_takes_the_place_of_the_spaces_scores(
    asked: str, maximize: tuple[str, ...], minimize: tuple[str, ...]
) -> None:
    found = search_request(dataset="r8", space="quickstart", objective=asked).space.objectives
    assert (found.maximize, found.minimize) == (maximize, minimize)
    assert found.score.name == (*maximize, *minimize)[0]
    assert search_request(dataset="r8", space="quickstart", objective="f1").space.objectives == Objectives()


class Tea(Spec):
    """A pot."""

    leaves: Annotated[Literal["green", "black"], Field(description="What is brewed.")] = "black"
    minutes: Annotated[float | None, Field(gt=0, description="How long."), Hint(unset="by leaf", value="MIN")] = None
    cups: Annotated[tuple[str, ...] | None, Field(description="Whose.")] = None
    hidden: int = 3


def test_one_field_is_an_option_a_keyword_and_a_line_of_help() -> None:
    settings = settings_of(Tea)

    @click.command()
    @options_of(settings)
    def brew(**params: object) -> None:
        click.echo(repr(given(Tea, params)))

    @takes(settings)
    def pour(**settings: object) -> Tea:
        return given(Tea, settings)

    run = CliRunner().invoke
    assert pour(leaves="green", minutes=2.5, cups=["a", "b"]) == Tea(leaves="green", minutes=2.5, cups=("a", "b"))
    assert run(brew, ["--leaves", "green", "--minutes", "2.5", "--cups", "a,b"]).output.startswith("Tea(leaves='green'")
    shown = run(brew, ["--help"]).output
    assert re.search(r"--minutes MIN\s+How long\.\s+\[default: by leaf\]\s+\[x>0\]", shown)
    assert "[green|black]" in shown
    assert "hidden" not in shown
    assert "did you mean 'green'" in run(brew, ["--leaves", "gren"]).output
    assert "leaves: What is brewed." in (inspect.getdoc(pour) or "")


def test_every_setting_of_a_search_has_words() -> None:
    assert all(setting.words.endswith(".") for setting in api.SEARCH_SETTINGS.values())
    assert "dataset" in settings_of(DatasetRequest)
    assert {"space", "models", "trials", "study", "time_budget"} <= set(settings_of(SearchRequest))
