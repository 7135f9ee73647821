"""Tasks: what is particular to a kind of labels, one module a task. Importing this package enters them in `TASKS`."""

from bench.tasks import classification, hierarchy, multilabel, ordinal
from bench.tasks.face import TASKS, Task

__all__ = ["TASKS", "Task", "classification", "hierarchy", "multilabel", "ordinal"]
