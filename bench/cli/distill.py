"""`bench distill`."""

from pathlib import Path
from typing import Any

import click

from bench import api
from bench.cli import completers, options
from bench.cli.fields import option, options_of


@click.command()
@click.argument("study", shell_complete=completers.studies)
@option(
    "--unlabelled",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A table, or a file with a text a line: its texts are learnt from too.",
)
@option(
    "--trial",
    metavar="N",
    shell_complete=completers.trials,
    help="Who teaches: a trial by its number, or best, knee, cheapest.  [default: the best trial]",
)
@options_of(
    api.EXTRACT_SETTINGS,
    *("text_column", "delimiter", "encoding", "quoting", "no_texts"),
    text_column="Column of the texts of --unlabelled. May be repeated.  [default: text]",
)
@options.trust_option
@options.home_option
@options.tracking_option
@options.no_tracking_option
@options.json_option
def distill(
    study: str,
    unlabelled: Path | None,
    trial: str | None,
    no_texts: bool,
    trust_remote_code: bool,
    home: Path | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Teach a static student: a table of words, as fast as TF-IDF, that a trial of STUDY has taught.

    It stands beside the candidates as `student`, scored, priced and confirmed as they are. More texts without labels
    help it more than anything else.
    """
    from bench.cli import show
    from bench.cli.search import print_searched

    if unlabelled is None:
        for name, value in reading.items():
            if value is not None:
                raise click.UsageError(f"--{name.replace('_', '-')} is of a file of texts: give --unlabelled too.")
    found = api.distill(
        study,
        unlabelled,
        trial=trial,
        no_texts=no_texts,
        trust_remote_code=trust_remote_code,
        home=home,
        tracking_uri=None if no_tracking else tracking_uri,
        tracking=not no_tracking,
        progress=show.progress(),
        **reading,
    )
    print_searched(found, home, as_json=as_json)
