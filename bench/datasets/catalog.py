"""What can be had here, without reading a row."""

from dataclasses import dataclass

from bench.datasets.rows import DATASETS, Sizes
from bench.datasets.sources import home, package


@dataclass(frozen=True)
class Available:
    """A data set by name: the sources that may give it, first the one that is asked first, and its sizes if known.

    The hub is listed without being asked.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    sizes: Sizes | None


def available(data_home: str | None = None) -> list[Available]:
    """The registered data sets, then those that only the data home has.

    Raises:
        BenchError: The data home is not a folder, or its manifest is not JSON.
    """
    folder = home.data_home(data_home)
    at_home = home.names(folder) if folder is not None else []
    listed = []
    for name, row in DATASETS.items():
        sources = ["data home"] if name in at_home else []
        if row.package is not None and package.installed(row.package):
            sources.append(f"package {row.package.distribution}")
        listed.append(Available(name, row.title, (*sources, f"hub {row.repo}"), row.sizes))
    if folder is None:
        return listed
    manifest = home.manifest(folder)
    others = [name for name in at_home if name not in DATASETS]
    return listed + [Available(name, name, ("data home",), _sizes(manifest.get(name, {}))) for name in others]


def _sizes(splits: dict[str, dict[str, object]]) -> Sizes | None:
    train, test = splits.get("train", {}), splits.get("test", {})
    labels, rows, tested = train.get("labels"), train.get("rows"), test.get("rows")
    if not (isinstance(labels, dict) and isinstance(rows, int) and isinstance(tested, int)):
        return None
    return Sizes(classes=len(labels), train=rows, test=tested)
