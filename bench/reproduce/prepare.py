"""What is asked of a reproduction, and its data sets made ready to be studied."""

from dataclasses import dataclass
from pathlib import Path

from bench.datasets.request import DatasetRequest
from bench.evaluation.protocol import Protocol
from bench.material import Material, gather
from bench.progress import Progress
from bench.reproduce.setup import Setup
from bench.reproduce.study import PaperStudy
from bench.specs import ExtractionSettings, fingerprint
from bench.store import Store
from bench.wanted import Wanted

RUNS = 5
"""The paper's runs on the test set."""


@dataclass(frozen=True)
class ReproductionRequest:
    """What is asked for. `models` that cannot be had are shown as missing."""

    studies: tuple[PaperStudy, ...]
    datasets: tuple[DatasetRequest, ...]
    models: tuple[str, ...]
    extraction: ExtractionSettings
    protocol: Protocol
    out: Path | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the runs on the test set: those that a search under the paper's protocol has."""
        return Protocol(name="paper", repetitions=RUNS, seed=self.protocol.seed).search_seeds


@dataclass(frozen=True)
class PreparedDataset:
    """One data set, ready to be studied."""

    request: ReproductionRequest
    material: Material
    setup: Setup

    def key(self, study: PaperStudy | None = None) -> str:
        """What all numbers (of a study) depend on, in eight hex digits: a folder and a run are found again by it."""
        value = {
            "dataset": self.material.dataset.fingerprint,
            "models": self.material.identities,
            "protocol": self.setup.protocol.model_dump(mode="json"),
            "seeds": self.setup.seeds,
        }
        if study is not None and study.others and self.setup.others:
            value["others"] = [other.fingerprint for other in self.setup.others]
        return fingerprint(value, length=8)

    def name(self, study: PaperStudy | None = None) -> str:
        """The data set and the key."""
        return f"{Path(self.material.dataset.name).stem.replace('/', '-')}-{self.key(study)}"


def prepare(
    request: ReproductionRequest, store: Store, progress: Progress, *, scratch: Path | None = None
) -> list[PreparedDataset]:
    """Load the data, resolve the models and look up what is stored; a `scratch` folder makes it a dry run.

    Raises:
        BenchError: data cannot be had, no model can, or the settings contradict this machine.
    """
    materials = []
    for dataset in request.datasets:
        wanted = Wanted(dataset, request.models, request.extraction, named=False, scratch=scratch)
        materials.append(gather(wanted, request.protocol.folds, store, progress))
    prepared = []
    for material in materials:
        others = [
            other.dataset
            for other in materials
            if other is not material and other.dataset.labels == material.dataset.labels
        ]
        setup = Setup(
            material.dataset, material.models, material.absent, request.protocol, request.seeds, others=others
        )
        prepared.append(PreparedDataset(request, material, setup))
    return prepared
