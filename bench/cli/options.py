"""Options that several commands share, and how they become requests."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from bench.backends.base import AUTO, BACKENDS
from bench.errors import nearest

if TYPE_CHECKING:
    from bench.datasets.load import DatasetRequest
    from bench.specs import ExtractionSettings

F = TypeVar("F", bound=Callable[..., Any])
DTYPES = ("float32", "bfloat16", "float16")
HOME = Path("mlruns")


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class Limit(click.FloatRange):
    """A finite number above zero, at most `max`."""

    name = "number"

    def __init__(self, max: float | None = None) -> None:  # noqa: A002 - as click calls it
        super().__init__(min=0, min_open=True, max=max)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does; it takes nan and inf for numbers."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"'{value}' is no finite number.", param, ctx)


class Choice(click.Choice[str]):
    """One of some words; a mistyped one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, with a better message."""
        if isinstance(value, str) and value not in self.choices:
            self.fail(f"There is no '{value}': {nearest(value, self.choices)}", param, ctx)
        return super().convert(value, param, ctx)


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _complete_datasets(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    from bench.datasets.catalog import available

    names = [entry.name for entry in available(ctx.params.get("data_home"))]
    return [name for name in names if name.startswith(incomplete)]


def complete_models(_: click.Context, __: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Complete the last name of a comma-separated list."""
    from bench.models.rows import MODELS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in MODELS if name.startswith(last)]


def complete_studies(_: click.Context, __: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Complete the name of a study."""
    from bench.study.journal import study_names

    return [name for name in study_names(HOME) if name.startswith(incomplete)]


def complete_trials(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Complete the names for trials of the front, and the numbers of the scored trials of the argument STUDY."""
    from bench.errors import BenchError
    from bench.study.journal import read
    from bench.study.reopen import CHOICES

    # click leaves an argument where it was while an option still lacks its value
    study = ctx.params.get("study") or next(iter(ctx.args), "")
    try:
        scored = [str(record.number) for record in read(HOME, study).of("complete")]
    except BenchError:
        scored = []
    return [name for name in (*CHOICES, *scored) if name.startswith(incomplete)]


def complete_spaces(_: click.Context, __: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Complete the name of a search space, or a path."""
    from bench.space.files import spaces_folder

    names = [path.stem for path in spaces_folder().glob("*.toml") if path.stem.startswith(incomplete)]
    return [*names] or [CompletionItem(incomplete, type="file")]


dataset_options = _together(
    click.option(
        "--dataset",
        required=True,
        metavar="NAME|FILE",
        shell_complete=_complete_datasets,
        help="A data set by name (see `bench list datasets`), legalbench/TASK, a hub id, or a file of rows.",
    ),
    click.option("--test-file", type=click.Path(dir_okay=False), help="Test rows, where --dataset is a file."),
    click.option("--text-column", help="Column of the texts, where --dataset is a file or a hub id.  [default: text]"),
    click.option("--label-column", help="Column of the labels.  [default: label]"),
    click.option("--group-column", help="Rows with one value here stay in one fold (a document, an author …)."),
    click.option(
        "--data-home",
        type=click.Path(file_okay=False),
        help="Folder of data sets; comes before the hub.  [env: BENCH_DATA_HOME]",
    ),
    click.option("--revision", help="Commit of a hub data set.  [default: the newest]"),
    click.option("--max-train", type=Whole(min=2), help="A seeded stratified subset of the training rows."),
    click.option("--max-test", type=Whole(min=1), help="A seeded stratified subset of the test rows."),
    click.option("--seed", type=Whole(0, 4_000_000), default=0, show_default=True, help="Seed of everything random."),
)

extraction_options = _together(
    click.option(
        "--backend",
        type=Choice([*BACKENDS, AUTO]),
        default="transformers",
        show_default=True,
        help="What runs the models; auto takes the fastest that is installed and supports them.",
    ),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto."),
    click.option("--dtype", type=Choice(DTYPES), default="float32", show_default=True, help="Of the computation."),
    click.option("--storage-dtype", type=Choice(DTYPES), default="float32", show_default=True, help="In the store."),
    click.option(
        "--quantization",
        type=Choice(["none", "8bit", "4bit"]),
        default="none",
        show_default=True,
        help="Of the weights: bitsandbytes; under vLLM, 8bit is its fp8.",
    ),
    click.option("--attention", help="Attention kernel, as transformers names them.  [default: the backend's choice]"),
    click.option("--max-length", type=Whole(min=1), default=512, show_default=True, help="In tokens."),
    click.option("--token-budget", type=Whole(min=1), help="Tokens in a batch.  [default: by device]"),
    click.option(
        "--tensor-parallel",
        type=Whole(min=1),
        default=1,
        show_default=True,
        help="GPUs that hold one model together (vllm).",
    ),
    click.option(
        "--gpu-memory-share",
        type=Limit(max=1),
        default=0.85,
        show_default=True,
        help="Share of a GPU's memory to take (vllm).",
    ),
    click.option(
        "--trust-remote-code", is_flag=True, help="Run a model's own code; its revision must be a commit hash."
    ),
)


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address before any work is done."""
    from bench.tracking import check_address

    if value is not None:
        check_address(value)
    return value


tracking_option = click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    callback=_address,
    metavar="URI",
    help="MLflow's database (sqlite:///FILE, …) or server (http://HOST).  [default: mlruns/mlflow.db]",
)


def trial_option(words: str) -> Callable[[F], F]:
    """A trial of the study that the command names, by number or by its place on the front."""
    return click.option(
        "--trial",
        default="knee",
        show_default=True,
        metavar="N|knee|best-f1|cheapest",
        shell_complete=complete_trials,
        help=words,
    )


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would be done, and how long it might take. Nothing is written or downloaded; what the hub has and "
    "this machine lacks is said.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and nothing else there.")


def dataset_request(params: dict[str, Any]) -> "DatasetRequest":
    """The dataset options as a request."""
    from bench.datasets.load import DatasetRequest

    fields = (
        "data_home",
        "test_file",
        "text_column",
        "label_column",
        "group_column",
        "revision",
        "max_train",
        "max_test",
        "seed",
    )
    return DatasetRequest(name=params["dataset"], **{name: params[name] for name in fields})


def extraction_settings(params: dict[str, Any]) -> "ExtractionSettings":
    """The extraction options as settings."""
    from bench.specs import ExtractionSettings

    fields = (
        "backend",
        "device",
        "dtype",
        "storage_dtype",
        "quantization",
        "attention",
        "max_length",
        "token_budget",
        "trust_remote_code",
        "tensor_parallel",
        "gpu_memory_share",
    )
    return ExtractionSettings(**{name: params[name] for name in fields})


def names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """A comma-separated list as a tuple."""
    if value is None:
        return None
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("name at least one")
    return found
