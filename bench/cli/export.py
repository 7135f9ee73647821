"""`bench export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import Choice, option, options_of
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.packaging.export import Exported
    from bench.packaging.graphs.manifest import GraphManifest
    from bench.packaging.pipeline import Latency


@click.command()
@click.argument("study", shell_complete=completers.studies)
@options.trial_option("Which candidate, by search scores alone.")
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder.  [default: a logged model of the trial's run in the tracking store]",
)
@option("--with-weights", is_flag=True, help="Pack the layers that are used; else models are found by name.")
@option(
    "--format",
    "form",
    type=Choice(["mlflow", "onnx", "openvino"]),
    default="mlflow",
    show_default=True,
    help="What answers: torch, or one graph a stage, which needs neither bench nor torch.",
)
@option(
    "--precision",
    type=Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="Of a graph; int8 is calibrated on training rows.",
)
@option("--register", metavar="NAME", help="Register it in the tracking store, as a new version of NAME.")
@option("--alias", help="An alias of the registered version, such as champion.")
@options.reject_option("every text gets its likeliest")
@options.costs_option
@options_of(api.SEARCH_SETTINGS, "no_texts")
@options.trust_option
@options.home_option
@options.tracking_option
@options.json_option
def export(
    study: str,
    trial: str,
    out: Path | None,
    with_weights: bool,
    form: str,
    precision: str,
    register: str | None,
    alias: str | None,
    reject_below: float | None,
    costs: Path | None,
    no_texts: bool,
    trust_remote_code: bool,
    home: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Fit a candidate or a cascade of STUDY on all training rows and package it: texts in, label and probabilities out.

    The package is an MLflow model. It loads each model up to the deepest layer that the candidate uses, and gives the
    labels of the search's own evaluation, which is tried before it is written. `bench predict` and `mlflow models
    serve` both work on it. By --reject-below and --costs it answers, until a call asks for others.
    """
    if alias and not register:
        raise BenchError("--alias names a registered version: give --register NAME too.")
    if register and out:
        raise BenchError("--register needs the tracking store: leave out --out.")
    given = click.get_current_context().get_parameter_source("tracking_uri")
    if out and given is click.core.ParameterSource.COMMANDLINE:
        raise BenchError("--tracking-uri says where a logged model goes: leave it out, or --out.")
    from bench.cli import show

    done = api.export(
        study,
        out,
        trial,
        register=register,
        alias=alias,
        with_weights=with_weights,
        reject_below=reject_below or 0.0,
        costs=costs,
        format=form,  # type: ignore[arg-type]  # one of the option's choices
        precision=precision,  # type: ignore[arg-type]
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
        home=home,
        tracking_uri=tracking_uri,
        progress=show.progress(),
    )
    terminal.json_out(done.to_json()) if as_json else _print(done)


def _print(done: "Exported") -> None:
    made = done.pipeline
    latency, agreement = made.latency, made.agreement
    assert latency is not None
    assert agreement is not None
    chosen = made.chosen if made.chosen != made.name else "as named"
    title = made.title[0].upper() + made.title[1:]
    terminal.echo(f"{title} of {made.study} ({chosen}): {made.candidate}")
    for model in made.models:
        where = "inside the package" if model.packed else "found by name, verified"
        terminal.echo(f"  {model.name}: layers up to {model.deepest} of {model.layers} are loaded; weights {where}")
    if made.remote_code:
        terminal.echo(
            "  REMOTE CODE: a model runs code from its repository; bench predict needs --trust-remote-code, and "
            "MLflow's server BENCH_TRUST_REMOTE_CODE=1."
        )
    terminal.echo(f"Trained on all {made.rows} training rows of {made.dataset} under seed {made.seed}.")
    _print_latency(latency)
    terminal.echo(
        f"{agreement.same} of {agreement.rows} test rows tried have the label that the search's evaluation gave them."
    )
    for words in made.rule_words:
        terminal.echo(words)
    if done.graphs is not None:
        _print_graphs(done.graphs)
    terminal.echo()
    terminal.echo(done.uri if done.folder is None else f"Written to {done.folder}.")
    store = "" if done.folder is not None else f"MLFLOW_TRACKING_URI={done.tracking_uri}"
    terminal.command("bench", "predict", "--model", done.uri, "FILE")
    serve = ("models", "serve", "--model-uri", done.uri, "--env-manager", "local", "--port", "5001")
    terminal.command("mlflow", *serve, before=store)


def _print_latency(latency: "Latency") -> None:
    terminal.echo("Latency, from the text to its answer, in ms a text:")
    terminal.echo(
        f"  in batches   {latency.measured_ms:8.2f} measured on {latency.texts} test texts, "
        f"{latency.predicted_ms:.2f} predicted ({latency.ratio:.2f} times)"
    )
    if latency.single_ms is not None and latency.single_p95_ms is not None:
        predicted = latency.predicted_single_ms
        beside = "" if predicted is None else f", {predicted:.2f} predicted ({latency.single_ms / predicted:.2f} times)"
        terminal.echo(
            f"  one by one   {latency.single_ms:8.2f} the median{beside}; 95 % within {latency.single_p95_ms:.2f}"
        )
    shares = zip(latency.expected, latency.reached, strict=True)
    for stage, (expected, found) in enumerate(shares, 2):
        terminal.echo(f"  to stage {stage} came {found:.0%} of the texts, {expected:.0%} predicted")


def _print_graphs(graphs: "GraphManifest") -> None:
    measured = graphs.measured
    assert measured is not None
    from bench.cli import show

    files = "one graph" if len(graphs.stages) == 1 else f"{len(graphs.stages)} stages"
    terminal.echo()
    terminal.echo(f"As {files} of {graphs.runtime} in {graphs.precision}, {show.size(graphs.bytes)}:")
    terminal.echo(
        f"{measured.same} of {measured.rows} test rows have the label of the search's evaluation; no probability "
        f"differs by more than {measured.furthest:.2g}."
    )
    terminal.echo(f"{'':14}{'p50 ms':>9}{'p99 ms':>9}{'texts/s':>9}   threads {measured.threads}, in turn")
    for name, side in (("graph", measured.graph), ("torch", measured.torch)):
        terminal.echo(f"  {name:<12}{side.p50_ms:9.2f}{side.p99_ms:9.2f}{side.per_second:9.0f}")
