"""`bench extract`."""

from typing import Any

import click

from bench.cli import options


@click.command(short_help="Fill the store with hidden states, without searching.")
@options.dataset_options
@click.option(
    "--models",
    callback=options.names,
    required=True,
    metavar="A,B,…",
    shell_complete=options.complete_models,
    help="Models by name, hub id or folder.",
)
@click.option("--layers", metavar="0,7,…", callback=options.names, help="Only these layers.  [default: all]")
@options.extraction_options
@options.json_option
def extract(models: tuple[str, ...], layers: tuple[str, ...] | None, as_json: bool, **params: Any) -> None:
    """Fill the store with the hidden states of a data set, without searching."""
    from bench.backends.base import AUTO, choose
    from bench.cli import show
    from bench.datasets.load import load
    from bench.extraction import check_disk, survey, truncated
    from bench.extraction import extract as run_extract
    from bench.files import store_home
    from bench.models.resolve import resolve
    from bench.store import Store

    progress = show.progress()
    requested = options.extraction_settings(params)
    settings = choose(requested)
    chosen = None if layers is None else [_layer(text) for text in layers]
    dataset = load(options.dataset_request(params))
    for warning in dataset.warnings:
        progress.say(f"warning: {warning}")
    texts = [*dataset.train.texts, *dataset.test.texts]
    store = Store(store_home())
    found = [resolve(name, trust_remote_code=settings.trust_remote_code) for name in models]
    settings = choose(settings, [model.architecture for model in found])
    if requested.backend == AUTO:
        progress.say(f"backend: {settings.backend} on {settings.device}")
    needs = [survey(model, settings, texts, store, chosen) for model in found]
    check_disk(needs, store)
    for need in needs:
        run_extract(need, settings, texts, progress)
    rows: list[dict[str, Any]] = [
        {
            "model": need.model.name,
            "texts": need.texts,
            "extracted": len(need.missing),
            "truncated": truncated(need, texts),
            "shelf": need.shelf.folder.name,
            "bytes": need.shelf.size(),
        }
        for need in needs
    ]
    if as_json:
        show.json_out(
            {
                "dataset": dataset.name,
                "store": str(store.home),
                "backend": settings.backend,
                "device": settings.device,
                "models": rows,
            }
        )
        return
    show.table(
        f"{dataset.name} in {store.home}",
        ("model", "texts", "new", "cut to length", "shelf", "size"),
        [
            (row["model"], row["texts"], row["extracted"], row["truncated"], row["shelf"], show.size(row["bytes"]))
            for row in rows
        ],
        right=(1, 2, 3, 5),
    )


def _layer(text: str) -> int:
    if not text.isdecimal():
        raise click.BadParameter(
            f"'{text}' is no layer: give numbers from 0 (the embeddings) on", param_hint="--layers"
        )
    return int(text)
