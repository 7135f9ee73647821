"""What a lazy search dropped, and on what evidence, as its journal has it."""

from dataclasses import dataclass
from typing import Any

from bench.errors import counted
from bench.screening.reach import MARGIN, Cut
from bench.specs import Spec
from bench.study.journal import Journal

NOTE = "lazy"


class Drop(Spec):
    """What was dropped, and on what evidence.

    Attributes:
        model: Whose layers.
        before: The deepest layer until then.
        deepest: The deepest one from then on; None where the model is left out.
        rows: Of the rung.
        loss: The share of the hypervolume that this and the rung's drops before it lose; negative where it gains.
        upper: Its upper bound (one-sided 95 %).
        margin: What the bound had to stay within.
        saved_ms: Milliseconds a text that the extraction takes less.
    """

    model: str
    before: int
    deepest: int | None
    rows: int
    loss: float
    upper: float
    margin: float
    saved_ms: float

    @classmethod
    def of(cls, cut: Cut, rows: int) -> "Drop":
        """A cut on so many rows."""
        return cls(
            model=cut.model,
            before=cut.before,
            deepest=cut.after,
            rows=rows,
            loss=cut.loss.mean,
            upper=cut.loss.upper,
            margin=MARGIN,
            saved_ms=cut.saved,
        )

    def __str__(self) -> str:
        what = f"layers {0 if self.deepest is None else self.deepest + 1} to {self.before}"
        return (
            f"{self.model}: {'all layers' if self.deepest is None else what} dropped on {self.rows} rows, a loss of "
            f"{self.loss:+.2%} of the hypervolume, at most {self.upper:.2%} (margin {self.margin:.1%}), which saves "
            f"{self.saved_ms:.3g} ms a text"
        )


class Rung(Spec):
    """What was decided on `rows` training rows; `deepest` is what of each model is needed from then on."""

    rows: int
    representations: int
    hypervolume: float
    deepest: dict[str, int]
    drops: tuple[Drop, ...] = ()


@dataclass(frozen=True)
class Lazy:
    """What a lazy search decided.

    Attributes:
        of: Training rows.
        keep: Models of which nothing was to be dropped.
        rungs: So far.
    """

    of: int
    keep: tuple[str, ...]
    rungs: tuple[Rung, ...]

    @property
    def drops(self) -> list[Drop]:
        """All, in order."""
        return [drop for rung in self.rungs for drop in rung.drops]

    @property
    def deepest(self) -> dict[str, int] | None:
        """The layers that are left of each model; None where nothing was decided."""
        return dict(self.rungs[-1].deepest) if self.rungs else None

    def header(self) -> str:
        """What was done, in a sentence."""
        rows = ", ".join(str(rung.rows) for rung in self.rungs)
        if not self.rungs:
            return f"Lazy extraction: {self.of} training rows are too few to drop anything on a part of them."
        return f"Lazy extraction: judged on {rows} of {self.of} training rows, {counted(len(self.drops), 'drop')}."

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "of": self.of,
            "keep": list(self.keep),
            "rungs": [rung.model_dump(mode="json", exclude={"drops"}) for rung in self.rungs],
            "drops": [drop.model_dump(mode="json") for drop in self.drops],
            "deepest": self.deepest,
        }


def lazy(journal: Journal) -> Lazy | None:
    """What a study's lazy extraction decided as far as it came; None of a study that extracted everything."""
    about = journal.note(NOTE)
    if about is None:
        return None
    return Lazy(about["of"], tuple(about["keep"]), tuple(map(Rung.model_validate, journal.series(NOTE))))
