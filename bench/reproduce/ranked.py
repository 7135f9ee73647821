"""The best layer for classification beside the best for another task, on the same rows (the paper's section 7)."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.measures import MEASURES, Measure
from bench.metrics import Resamples
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.questions import Question
from bench.reproduce.scores import POINTS
from bench.reproduce.setup import Setup, for_task
from bench.reproduce.study import Findings, Steps
from bench.specs import DEFAULT_TASK, Candidate
from bench.tasks import TASKS

POOLING, HEAD = "mean", "logistic"


def columns(measure: Measure) -> tuple[Column, ...]:
    """Of the table under a task's measure."""
    short = measure.title
    return (
        Column("model", "model"),
        Column("own_layer", f"best for\n{measure.task}", Kind.COUNT),
        Column("class_layer", "for classi-\nfication", Kind.COUNT),
        Column("same", "same\nlayer", Kind.FLAG),
        Column("same_share", "same in\ndraws", Kind.NUMBER, spare=True),
        Column("own_mean", f"{short}:\nown layer", Kind.SCORE, required=True),
        Column("class_mean", "classifi-\ncation's", Kind.SCORE),
        Column("gain", "lost\npoints", Kind.POINTS),
        Column("gain_low", "95%\nlow", Kind.POINTS),
        Column("gain_high", "\nhigh", Kind.POINTS),
    )


def ranked_layers(setup: Setup) -> Steps:
    """Every layer of every model by a task that trains nothing, and by classification under the converged head.

    The best layer of each is chosen on training rows; what classification's layer loses is measured on test rows.
    """
    task = TASKS[setup.dataset.task]
    classes = for_task(setup.dataset, DEFAULT_TASK)
    asked: dict[tuple[str, int], tuple[Question, ...]] = {}
    for model in setup.models:
        for layer in setup.layers(model):
            source = setup.last(model, POOLING).model_copy(update={"layer": layer})
            own = Candidate(sources=(source,), head=task.head)
            trained = setup.candidate([source], HEAD)
            asked[model, layer] = (
                Question(own, "search", setup.seeds if own.drawn else setup.seeds[:1], setup.dataset),
                setup.test(own),
                setup.held_out(trained, classes),
                setup.test(trained, classes),
            )
    names = {name: Question(name, "confirm", setup.seeds, setup.dataset) for name in task.text_baselines}
    answers = yield [*names.values(), *(each for several in asked.values() for each in several)]
    scored = {place: tuple(answers[each] for each in several) for place, several in asked.items()}
    rows = [
        _row(setup, model, task.measure, {layer: scored[model, layer] for layer in setup.layers(model)})
        for model in setup.models
    ]
    curves = [_point(setup, *place, task.measure, several) for place, several in scored.items()]
    beside: list[Row] = [
        {"kind": "baseline", "model": name, "own_mean": answers[each].summary(task.measure).mean}
        for name, each in names.items()
    ]
    return Findings(
        [*rows, *beside],
        extras={"curves": curves},
        figures=[_figure(setup, task.measure, curves, {row["model"]: row["own_mean"] for row in beside})],
        notes=_notes(setup, task.measure, rows),
        title=f"Does the best layer for classification serve {task.name}?",
        columns=columns(task.measure),
    )


def _best(found: Mapping[int, float]) -> int:
    """The first of the best layers."""
    return max(found, key=lambda layer: (found[layer], -layer))


def _row(setup: Setup, model: str, measure: Measure, of: Mapping[int, tuple[Scored, ...]]) -> Row:
    f1 = MEASURES[TASKS[DEFAULT_TASK].measures[0]]
    own = _best({layer: each[0].summary(measure).mean for layer, each in of.items()})
    classes = _best({layer: each[2].summary(f1).mean for layer, each in of.items()})
    drawn = Resamples.of(setup.dataset.train.groups, seed=0, draws=200)

    def winners(place: int, by: Measure) -> np.ndarray:
        curve = [by.resampled(each[place].predictions, drawn).mean(axis=1)[1:] for each in of.values()]
        found: np.ndarray = np.stack(curve, axis=1).argmax(axis=1)
        return found

    firsts = winners(0, measure), winners(2, f1)
    lost = measure.difference(of[own][1].predictions, of[classes][1].predictions, seed=0)
    low, high = np.quantile(firsts[0], (0.025, 0.975))
    return {
        "kind": "model",
        "model": model,
        "own_layer": own,
        "own_layer_low": int(low),
        "own_layer_high": int(high),
        "class_layer": classes,
        "same": own == classes,
        "same_share": float((firsts[0] == firsts[1]).mean()),
        "own_mean": of[own][1].summary(measure).mean,
        "class_mean": of[classes][1].summary(measure).mean,
        "gain": POINTS * lost.value,
        "gain_low": POINTS * lost.low,
        "gain_high": POINTS * lost.high,
        "train_rows": len(setup.dataset.train),
        "test_rows": len(setup.dataset.test),
        "runs": len(of[own][1].repetitions),
    }


def _point(setup: Setup, model: str, layer: int, measure: Measure, several: tuple[Scored, ...]) -> Row:
    own = measure.interval(several[1].predictions)
    f1 = MEASURES[TASKS[DEFAULT_TASK].measures[0]]
    return {
        "model": model,
        "layer": layer,
        "depth": layer / setup.models[model].layers,
        "score": own.value,
        "low": own.low,
        "high": own.high,
        "search": several[0].summary(measure).mean,
        "classification": several[3].summary(f1).mean,
        "classification_search": several[2].summary(f1).mean,
    }


def _figure(setup: Setup, measure: Measure, curves: Sequence[Row], rules: Mapping[str, float]) -> Figure:
    both = [{**point, "of": f"{point['model']}: {measure.title}"} for point in curves]
    f1 = [
        {**point, "of": f"{point['model']}: macro-F1", "score": point["classification"]}
        | {"low": point["classification"], "high": point["classification"]}
        for point in curves
    ]
    chart = charts.lines(
        [*both, *f1],
        x=Column("depth", "depth of the layer (0: embeddings, 1: last block)", Kind.NUMBER),
        y=Column("score", f"on the test set: {measure.title}, macro-F1", Kind.SCORE),
        colour=Column("of", "model: score"),
        band=("low", "high"),
        rules=rules,
    )
    return Figure(
        f"layers-{measure.task}",
        f"{setup.dataset.name}: {measure.title} and macro-F1 by layer, mean pooling",
        charts.subtitle(setup, f"Bands of {measure.title}: 95% bootstrap over test texts."),
        f"{measure.title} of every layer of every model beside its macro-F1 in classification.",
        chart,
        width=720,
    )


def _notes(setup: Setup, measure: Measure, rows: Sequence[Row]) -> list[str]:
    count = len(setup.dataset.test)
    found = []
    for row in rows:
        words = "the same layer" if row["same"] else f"layer {row['class_layer']}"
        clear = "no loss is shown" if row["gain_low"] <= 0 else "a loss that is clear of zero"
        found.append(
            f"{row['model']}: on the training rows {measure.task} takes layer {row['own_layer']} (95% of draws of rows "
            f"{row['own_layer_low']} to {row['own_layer_high']}), classification {words}; under that "
            f"{measure.title} loses {row['gain']:.1f} points on {count} test rows (95% {row['gain_low']:.1f} to "
            f"{row['gain_high']:.1f}): {clear}."
        )
    return [*found, "Classification is by the converged logistic head; layers are chosen on training rows alone."]
