"""What is said below the command line in keywords, said in options."""

import re

from bench import api

SETTINGS = frozenset(
    {
        *api.SEARCH_SETTINGS,
        *api.REPRODUCE_SETTINGS,
        "costs",
        "dry_run",
        "format",
        "host",
        "keep",
        "measure",
        "min_score",
        "out",
        "port",
        "precision",
        "reject_below",
        "shard_rows",
        "tracking_uri",
        "trial",
        "unlabelled",
        "update",
        "with_weights",
    }
)
"""The keywords that sentences may name: each is an option of some command."""
_NAMED = re.compile(r"`([a-z_]+)(?:=('?)([^`']+)\2)?`")


def in_options(text: str) -> str:
    """`text` with settings as options: "`max_length`" → "--max-length", "`dtype='float32'`" → "--dtype float32"."""
    return _NAMED.sub(_option, text)


def _option(named: re.Match[str]) -> str:
    keyword, _, value = named.groups()
    if keyword not in SETTINGS:
        return named[0]
    return f"--{keyword.replace('_', '-')}" + (f" {value}" if value else "")
