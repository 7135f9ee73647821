"""The environment of a package: every distribution that it needs, at the version that it was exported with."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# What a package imports at loading and predicting; bench itself lies in it as source.
NEEDED = (
    "accelerate",
    "filelock",
    "gguf",
    "huggingface-hub",
    "mlflow",
    "numpy",
    "packaging",
    "platformdirs",
    "pydantic",
    "safetensors",
    "scikit-learn",
    "torch",
    "transformers",
)


def pinned(modules: Iterable[str], needed: Iterable[str] = NEEDED) -> list[str]:
    """Requirements with exact versions: those `needed`, what brings some modules, and all that these require.

    The modules are those of backends and plugins.
    A version's local part (``+cpu``) is left out: no index has it. So are distributions that carry a model's weights,
    which are installed without what they require; a package that misses one says how.
    """
    carriers = packages_distributions()
    todo = [*needed, *(name for module in modules for name in carriers.get(module, ()))]
    found: dict[str, str] = {}
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # needed on other systems only
        extras = requirement.extras or {""}
        required = [Requirement(each) for each in installed.requires or ()]
        wanted = [
            str(each)
            for each in required
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        ]
        if name == "bench":
            continue
        if name not in found:
            found[name] = Version(installed.version).public
            todo += wanted
        elif requirement.extras:
            todo += [each for each in wanted if canonicalize_name(Requirement(each).name) not in found]
    return [f"{name}=={version}" for name, version in sorted(found.items())]
