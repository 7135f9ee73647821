"""`bench extract`."""

from typing import Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import names, option, options_of


@click.command()
@options.dataset_argument
@options.models_option("Models by name, hub id or folder. May be repeated.", required=True)
@option("--layers", metavar="0,7,…", callback=names, help="Only these layers.  [default: all]")
@options_of(api.EXTRACT_SETTINGS, optional="dataset")
@options.json_option
def extract(models: tuple[str, ...], layers: tuple[str, ...] | None, as_json: bool, **params: Any) -> None:
    """Fill the store with the hidden states of a data set, without searching."""
    from bench.cli import show

    chosen = None if layers is None else [_layer(text) for text in layers]
    material = api.extract(params.pop("dataset"), models, layers=chosen, progress=show.progress(), **params)
    cut = material.truncated
    rows: list[dict[str, Any]] = [
        {
            "model": need.model.name,
            "texts": need.texts,
            "extracted": len(need.missing),
            "truncated": cut[need.model.name],
            "shelf": need.shelf.folder.name,
            "bytes": need.shelf.size(),
        }
        for need in material.needs
    ]
    if as_json:
        terminal.json_out(
            {
                "dataset": material.dataset.name,
                **({} if (rare := material.dataset.rare) is None else {"rare_classes": rare.to_json()}),
                "store": material.store.where,
                "backend": material.settings.backend,
                "device": material.settings.device,
                "models": rows,
            }
        )
        return
    show.table(
        f"{material.dataset.title} in {material.store.where}",
        ("model", "texts", "new", "cut to\nlength", "size", "shelf"),
        [
            (row["model"], row["texts"], row["extracted"], row["truncated"], show.size(row["bytes"]), row["shelf"])
            for row in rows
        ],
        right=(1, 2, 3, 4),
        names=True,
        spare=(5,),
    )


def _layer(text: str) -> int:
    if not text.isdecimal():
        raise click.BadParameter(
            f"'{text}' is no layer: give numbers from 0 (the embeddings) on", param_hint="--layers"
        )
    return int(text)
