"""What a package says of itself to a person who finds its folder."""

import json
from collections.abc import Iterator
from typing import Any

from bench.escaping import plain_markdown, shown, shown_json
from bench.measures import MEASURES
from bench.packaging.graphs.manifest import GraphManifest
from bench.packaging.pipeline import PackagedPipeline

EXAMPLE = "oil prices rose"


def readme(made: PackagedPipeline, graphs: GraphManifest | None = None) -> str:
    """In Markdown: what it is and is worth, how it answers, and how it is asked."""
    return "\n\n".join([*_what(made), *_rule(made), *_asked(made), *_graphs(graphs), *_choices(made)]) + "\n"


def _what(made: PackagedPipeline) -> Iterator[str]:
    yield f"# {_line(made.title.capitalize())} of {_line(made.study)}"
    yield "A text classifier that `bench export` made: texts in, a label and the probability of every label out."
    models = "; ".join(f"{model.name} up to layer {model.deepest} of {model.layers}" for model in made.models)
    yield "\n".join(
        f"- {_line(line)}"
        for line in (
            f"What answers: {made.candidate}",
            f"Models: {models or 'none'}",
            f"Trained on all {made.rows} training rows of {made.dataset}",
            *_scores(made),
            *_latency(made),
        )
    )
    yield "Its labels:"
    yield _block(list(made.labels))


def _scores(made: PackagedPipeline) -> Iterator[str]:
    if made.remembered is not None:
        known = [(MEASURES[name].title, each) for name, each in made.remembered.scores.items() if name in MEASURES]
        scores = ", ".join(f"{title} {each.value:.3f} (95% {each.low:.3f} to {each.high:.3f})" for title, each in known)
        yield f"On {made.remembered.rows} test rows: {scores}"


def _latency(made: PackagedPipeline) -> Iterator[str]:
    if made.latency is not None:
        single = "" if made.latency.single_ms is None else f", {made.latency.single_ms:.2f} ms one by one"
        yield f"Where it was made a text took {made.latency.measured_ms:.2f} ms in batches{single}"


def _rule(made: PackagedPipeline) -> Iterator[str]:
    yield "## How it answers"
    if made.sureness is not None:
        error = made.sureness.errors["test"].after
        yield f"Probabilities are calibrated: their expected calibration error on the test rows is {error:.3f}."
    if made.rule.plain:
        yield "Every text gets its likeliest label, unless a call asks for another rule by the parameters below."
    else:
        yield "\n".join(made.rule_words)
    if made.costs is not None:
        yield "What each answer costs, by true label:"
        yield _block(made.costs)


def _asked(made: PackagedPipeline) -> Iterator[str]:
    yield "## How it is asked"
    # of a table of costs there is but one example that is true, and it may be long
    inputs = [dict.fromkeys(made.fields, EXAMPLE) if made.fields else EXAMPLE]
    asked = {"inputs": inputs, "params": {"reject_below": made.reject_below or 0.9}}
    content = json.dumps({"inputs": inputs} if made.costs is not None else asked)
    header = "-H 'Content-Type: application/json'"
    yield "\n".join(
        (
            "    bench predict --model FOLDER texts.csv",
            "    mlflow models serve --model-uri FOLDER --env-manager local --port 5001",
            f"    curl 127.0.0.1:5001/invocations {header} -d '{content}'",
        )
    )
    below = "a text whose likeliest label is less probable gets none; 0 for all"
    answers = (
        "by true label what each answer costs, `reject` for none: the least expected cost is answered; `{}` for none"
    )
    costs = "`{}`" if made.costs is None else "the table above"
    parameters = (("reject_below", f"{made.reject_below:.7g}", below), ("costs", costs, answers))
    yield "\n".join(
        (
            "| parameter | where not given | what it does |",
            "| --- | --- | --- |",
            *(f"| `{name}` | {default} | {words} |" for name, default, words in parameters),
        )
    )


def _graphs(graphs: GraphManifest | None) -> Iterator[str]:
    if graphs is None or graphs.measured is None:
        return
    measured = graphs.measured
    yield "## Its graphs"
    yield (
        f"`artifacts/pipeline/graph` answers by itself, with {graphs.runtime} in {graphs.precision} and without bench "
        f"or torch; it takes {graphs.bytes / 1e6:.1f} MB. `requirements.txt` there says what it needs."
    )
    yield "\n".join(
        (
            "    from graph_classifier import GraphClassifier",
            f'    GraphClassifier("artifacts/pipeline/graph").answers(["{EXAMPLE}"])',
        )
    )
    yield (
        f"Of {measured.rows} test rows {measured.same} have the label of the search's evaluation, and no probability "
        f"differs by more than {measured.furthest:.2g}. Timed in turn where it was made, on {measured.threads} threads:"
    )
    sides = (("graph", measured.graph), ("torch", measured.torch))
    yield "\n".join(
        (
            "| | p50 of single texts, ms | p99, ms | texts a second, in batches |",
            "| --- | ---: | ---: | ---: |",
            *(f"| {name} | {side.p50_ms:.2f} | {side.p99_ms:.2f} | {side.per_second:.0f} |" for name, side in sides),
        )
    )


def _choices(made: PackagedPipeline) -> Iterator[str]:
    if made.sureness is not None and made.sureness.thresholds:
        yield "## Bounds to choose from"
        yield "To keep an accuracy, as found on training rows out of fold, and what that is worth on the test rows:"
        yield "\n".join(
            (
                "| accuracy | `reject_below` | of test rows answered | right of these |",
                "| ---: | ---: | ---: | ---: |",
                *(
                    f"| {each.wanted:.1%} | {each.probability:.7g} | {each.test_coverage:.1%} | "
                    f"{'–' if each.test_accuracy is None else f'{each.test_accuracy:.1%}'} |"
                    for each in made.sureness.thresholds
                ),
            )
        )


def _line(text: str) -> str:
    return plain_markdown(shown(" ".join(text.split())))


def _block(value: Any) -> str:
    """JSON as the parameters take it; a label cannot end the block."""
    content: str = shown_json(json.dumps(value, ensure_ascii=False, indent=1, default=dict))
    return "```json\n" + content.replace("`", "\\u0060") + "\n```"
