"""Tasks: what is particular to a kind of labels, one module a task. Importing this package enters them in `TASKS`."""

from bench.tasks import classification, clustering, hierarchy, multilabel, ordinal, retrieval
from bench.tasks.face import TASKS, Task, require_trained

__all__ = [
    "TASKS",
    "Task",
    "classification",
    "clustering",
    "hierarchy",
    "multilabel",
    "ordinal",
    "require_trained",
    "retrieval",
]
