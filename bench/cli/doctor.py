"""`bench doctor`."""

import click

from bench.cli import options

MARKS = {
    "ok": click.style("ok     ", fg="green"),
    "note": click.style("note   ", fg="yellow"),
    "problem": click.style("problem", fg="red"),
}


@click.command(short_help="Say what is at hand, and what to fix.")
@options.json_option
def doctor(as_json: bool) -> None:
    """Say what is installed, which devices and sources are at hand, and what to fix."""
    from dataclasses import asdict

    from bench.cli import show
    from bench.doctor import examine

    found = examine(options.HOME)
    if as_json:
        show.json_out({"findings": [asdict(each) for each in found]})
    else:
        for each in found:
            click.echo(f"{MARKS[each.state]}  {each.what}: {each.detail}")
    if any(each.state == "problem" for each in found):
        raise SystemExit(1)
