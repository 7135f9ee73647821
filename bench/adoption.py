"""Rows that earlier versions of libraries computed, adopted where they still come out the same.

Hidden states of real models take days. A new torch makes another identity, since it may round otherwise; mostly it
computes the same. So where an extraction of a store differs from the one that is wanted in nothing but versions, some
of its rows are computed again, and where these agree its rows are read as if they were the new extraction's own. What
reads them is a shelf of an identity of its own, which names the adopted one: studies on it are told from others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench.backends.batches import in_order
from bench.extraction import STORAGE, Need, first_of
from bench.identity import ADOPTED, VERSIONS
from bench.progress import Progress
from bench.proof import open_model
from bench.store import DamagedError, Shelf, Store
from bench.store.adoption import Adoption, adopt, adoption_of, refusals, refuse

ROWS = 64
"""So many rows are computed again, over all that there are. Fewer are not worth the asking."""
ALLOWED = {"float32": 3e-4, "bfloat16": 8e-3, "float16": 8e-3}
"""Of a row's norm: what other batches and kernels have been seen to move a state by, a few times over.

1e-6 to 1e-5 in float32. In half precision two roundings of a deep model lie further apart than that, and are refused.
"""


def adopted(
    need: Need,
    store: Store,
    texts: Sequence[str],
    progress: Progress,
    *,
    recorded: Mapping[str, Any] | None = None,
    dry: bool = False,
) -> Need:
    """`need` on a shelf that reads rows of earlier versions too, where that spares work and they are shown to be right.

    Args:
        need: What its own shelf lacks.
        store: Where to look.
        texts: Those of `need`.
        progress: Is told what was found.
        recorded: The identity under which the study was made, where it was: it has adopted what it had then.
        dry: Open no model and write nothing.

    Raises:
        BenchError: the model cannot be opened or run, or the store cannot be read or written.
    """
    if recorded is not None:
        return need.of(texts, _on(need, store, recorded[ADOPTED])) if recorded.get(ADOPTED) else need
    if len(need.missing) < ROWS:
        return need
    adopting = [shelf for shelf in store.adopting(need.shelf.identity) if _covered(need, shelf)]
    known = [_Offer.of(need, shelf, texts) for shelf in adopting]
    offers = known + [_Offer.of(need, shelf, texts) for shelf in store.earlier(need.shelf.identity)]
    best = max(offers, key=lambda offer: len(offer.rows), default=None)  # of several the first: one that is known
    if best is None or len(best.rows) < ROWS:
        return need
    if best in known:
        return need.of(texts, best.shelf)
    name, then = need.model.name, _versions(best.shelf.identity, need.shelf.identity)
    what = f"{name}: {len(best.rows):,} stored rows of {_then(then)}"
    if why := _refused(need, offers):
        progress.say(f"{what} are not adopted, as before: {why}")
        return need
    if dry:
        progress.say(f"{what} will be adopted if {ROWS} of them come out the same")
        return need

    def not_adopted(why: str) -> Need:
        refuse(need.shelf, best.shelf.fingerprint, why)
        progress.warn(f"{what} are not adopted: {why}. All are extracted anew")
        return need

    progress.say(f"{what}: {ROWS} are computed again")
    try:
        found = _compared(need, best, texts, progress)
    except DamagedError:
        return adopted(need, store, texts, progress)  # without the file, which was set aside
    if isinstance(found, str):
        return not_adopted(found)
    error, slot = found
    allowed = ALLOWED[need.settings.dtype]
    if not error <= allowed:
        return not_adopted(
            f"at {slot} one that was computed again differs by {error:.1e} of its norm, where {allowed:.0e} is allowed"
        )
    shelf = _on(need, store, best.shelf.fingerprint)
    if before := adoption_of(shelf.folder):  # of other layers, or of fewer
        error, slot = max((error, slot), (before.error, before.slot))
    when = datetime.now(UTC).isoformat(timespec="seconds")
    record = Adoption(
        of=best.shelf.fingerprint,
        versions=then,
        rows=ROWS,
        slots=tuple(dict.fromkeys([*(before.slots if before else ()), *need.slots])),
        error=error,
        slot=slot,
        allowed=allowed,
        when=when,
    )
    adopt(shelf, record)
    progress.say(
        f"{what} are adopted: {ROWS}, computed again, differ by {error:.0e} of their norm at most ({allowed:.0e} is "
        "allowed); `no_adopt` extracts all anew"
    )
    return need.of(texts, _on(need, store, best.shelf.fingerprint))


@dataclass(frozen=True, eq=False)
class _Offer:
    """A shelf, and places of texts whose rows it has and the wanted one lacks."""

    shelf: Shelf
    rows: tuple[int, ...]

    @classmethod
    def of(cls, need: Need, shelf: Shelf, texts: Sequence[str]) -> "_Offer":
        lacking = set(shelf.missing(need.keys(texts[row] for row in need.missing), need.slots))
        return cls(shelf, tuple(row for place, row in enumerate(need.missing) if place not in lacking))


def _covered(need: Need, shelf: Shelf) -> bool:
    """Whether all that is needed was compared when `shelf` adopted its rows."""
    record = adoption_of(shelf.folder)
    return record is not None and set(need.slots) <= set(record.slots)


def _refused(need: Need, offers: Sequence[_Offer]) -> str:
    """Why one of them was refused before: once some rows are stored, others would be compared, which may pass."""
    known = refusals(need.shelf.folder)
    return next(
        (
            known[each.shelf.fingerprint]
            for each in offers
            if len(each.rows) >= ROWS and each.shelf.fingerprint in known
        ),
        "",
    )


def _on(need: Need, store: Store, earlier: str) -> Shelf:
    """The shelf of the same extraction that reads what that earlier one has."""
    return store.shelf({**need.shelf.identity, ADOPTED: earlier})


def _versions(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    """Library → its version then and now, of those that differ."""
    return {name: (then.get(name), now.get(name)) for name in sorted(VERSIONS) if then.get(name) != now.get(name)}


def _then(versions: Mapping[str, tuple[str | None, str | None]]) -> str:
    return ", ".join(f"{name} {old}" for name, (old, _) in versions.items())


def _compared(need: Need, offer: _Offer, texts: Sequence[str], progress: Progress) -> tuple[float, str] | str:
    """The largest error of rows that are computed again, and its slot; or why they cannot be the same.

    Raises:
        BenchError: the model cannot be opened or run.
        DamagedError: a stored file was altered; it is set aside.
    """
    chosen = [texts[offer.rows[place]] for place in np.linspace(0, len(offer.rows) - 1, ROWS).astype(int)]
    keys, rows = need.keys(chosen), range(ROWS)
    opened = open_model(need.model, first_of(need.settings), need.home, progress, max(need.layers))
    try:
        encoded = opened.encode(chosen)
        if (encoded.lengths != offer.shelf.counts(keys)[0]).any():
            return "the tokenizer makes other tokens of a text"
        states = in_order(opened.hidden_states(encoded, rows, need.layers), rows)
    finally:
        opened.close()
    found = states.to(STORAGE[need.settings.storage_dtype]).float().flatten(1, 2)
    worst = (-1.0, "")
    for place, slot in enumerate(need.slots):
        kept = offer.shelf.matrix(keys, slot)
        error = float(((found[:, place] - kept).norm(dim=1) / kept.norm(dim=1).clamp(min=1e-30)).max())
        worst = max(worst, (error if error == error else math.inf, slot))
    return worst
