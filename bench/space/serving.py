"""A space as a task can search it: where no head is trained, what is about training stands aside."""

from bench.errors import BenchError
from bench.fusion import FUSIONS
from bench.space.schema import Cascades, Screen, SearchSpace
from bench.specs import HEAD_SETTINGS
from bench.tasks import TASKS

RUNS = 5
"""Seeds of a search, and of a confirmation, where nothing is trained and a run takes little."""


def serving(space: SearchSpace, task: str) -> SearchSpace:
    """The space over representations alone, where a task ranks these: the task's own head in place of trained ones.

    Operators that fuse what trained heads say are left out, there are five seeds or more, and neither is anything
    screened by a ridge head nor are there cascades, which need probabilities. For other tasks it stays as it is.

    Raises:
        BenchError: no operator is left.
    """
    kind = TASKS[task]
    if not kind.ranks:
        return space
    own = [name for name in space.head.kinds if not HEAD_SETTINGS[name].trained]
    operators = tuple(name for name in space.fusion.operators if not FUSIONS[name].late)
    if not operators:
        names = ", ".join(space.fusion.operators)
        raise BenchError(f"The space fuses by {names}, which is for trained heads, and {task} has none: add concat.")
    protocol = space.protocol
    runs = {name: max(RUNS, getattr(protocol, name)) for name in ("repetitions", "confirm")}
    values = space.model_dump() | {
        "head": {"kinds": own or [kind.head.kind]},
        "fusion": space.fusion.model_dump() | {"operators": operators},
        "protocol": protocol.model_dump() | runs,
        "screen": Screen().model_dump(),
        "cascade": Cascades().model_dump(),
    }
    return SearchSpace.model_validate(values)
