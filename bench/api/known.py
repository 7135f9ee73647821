"""Whether what is named is there, asked before anything is imported that takes seconds: a typing error costs none."""

from collections.abc import Iterable
from pathlib import Path

from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.home import Home


def known(request: DatasetRequest, models: Iterable[str] | None = None) -> None:
    """Raise BenchError where a data set or a model is named that nothing is called, which reads no file of either."""
    from bench.datasets.naming import require_known
    from bench.models.resolve import ModelName
    from bench.views import parted

    require_known(request)
    for name in models or ():
        ModelName.parse(parted(name)[0])


def known_pipeline(text: str, home: Home | Path | str | None) -> None:
    """Raise BenchError where no study and no run has that name, ``STUDY``, ``STUDY:WHICH`` or a run's id."""
    from bench.study.journal import nothing_named, studies_folder, study_names

    runs = Home.at(home).runs
    if text.partition(":")[0] in study_names(runs):
        return
    # a run's id stands in its study's journal, which takes seconds to read as more than bytes
    if not any(text.encode() in path.read_bytes() for path in studies_folder(runs).glob("*.journal")):
        raise nothing_named(text, runs)


def known_study(name: str, home: Home | Path | str | None) -> None:
    """Raise BenchError where there is no such study."""
    from bench.study.journal import require_study

    if not isinstance(name, str):
        raise BenchError(f"A study is given by its name, and not as {name!r}.")
    require_study(Home.at(home).runs, name)
