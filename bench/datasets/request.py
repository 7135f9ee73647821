"""Which rows are wanted; said without importing what loads them."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_serializer

from bench.datasets.tables.table import Quoting
from bench.specs import DEFAULT_TASK, Hint, Seed, Spec


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class DatasetRequest(Spec):
    """Which rows are wanted.

    `name` is a registered name, a folder of the data home, ``legalbench/TASK``, the hub's ``owner/name`` or
    ``owner/name:config``, or the path of a table. Columns of None are the data set's own, else ``text`` and
    ``label``; several `text_column`s are the fields of a row (see `bench.views`). `seed` orders the split of a file
    without a test file, and the subsets. `delimiter`, `encoding` and `quoting` are those of csv and tsv files; None is
    found out. `min_class_rows` and `rare` go together, see `bench.datasets.rare`. With `no_texts`, nothing that is
    written or said quotes a text: what shows texts otherwise leaves them out.
    """

    name: Annotated[
        str,
        Field(
            description="A data set by name (see `bench list datasets`), legalbench/TASK, a hub id, or a file of rows."
        ),
        Hint(keyword="dataset", value="NAME|FILE", names="datasets"),
    ]
    test_file: Annotated[
        str | None, Field(description="Test rows, where the data set is a file."), Hint(path="file")
    ] = None
    text_column: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="Column of the texts, where the data set is a file or a hub id."),
        BeforeValidator(_several),
        Hint(unset="text", value="NAME", repeated=True, commas=False),
    ] = None
    label_column: Annotated[str | None, Field(description="Column of the labels."), Hint(unset="label")] = None
    label_columns: Annotated[
        tuple[str, ...] | None,
        Field(min_length=2, description="Columns that say of one label each whether a row has it (1) or not (0)."),
        Hint(unset="one column has them all", repeated=True),
    ] = None
    label_sign: Annotated[
        str | None,
        Field(
            min_length=1,
            description="What stands between the labels of a row that has several, or the levels of a path.",
        ),
        Hint(unset="the first of | ; , that occurs; of a path /"),
    ] = None
    label_order: Annotated[
        tuple[str, ...] | None,
        Field(min_length=2, description="All labels from the least to the greatest, where they are grades."),
        Hint(unset="that of numbers", value="LOW,…,HIGH", repeated=True),
    ] = None
    group_column: Annotated[
        str | None, Field(description="Rows with one value here stay in one fold (a document, an author …).")
    ] = None
    id_column: Annotated[
        str | None,
        Field(description="Column of the rows' ids, by which messages and predictions name them."),
        Hint(unset="id, where it tells all rows apart"),
    ] = None
    drop_unlabelled: Annotated[
        bool, Field(description="Leave out rows without a label, which are otherwise refused.")
    ] = False
    min_class_rows: Annotated[
        int | None,
        Field(ge=2, description="Classes with fewer training rows are rare; `rare` must say what becomes of them."),
        Hint(unset="all classes stay"),
    ] = None
    rare: Annotated[
        Literal["drop", "merge"] | None,
        Field(description="Leave out the rows of rare classes, or make these one class."),
        Hint(unset="none is rare"),
    ] = None
    delimiter: Annotated[
        str | None,
        Field(min_length=1, max_length=1, description="Sign between the fields of a csv or tsv file."),
        Hint(unset="found out"),
    ] = None
    encoding: Annotated[
        str | None,
        Field(description="Encoding of a file, such as windows-1252."),
        Hint(unset="UTF-8, or UTF-16 where it shows"),
    ] = None
    quoting: Annotated[
        Quoting | None,
        Field(description="Whether quotation marks in a csv or tsv file enclose fields (double), or not (none)."),
        Hint(unset="found out"),
    ] = None
    no_texts: Annotated[
        bool,
        Field(description="Keep texts out of the report, of artifacts and of messages; labels and ids stay."),
    ] = False
    data_home: Annotated[
        str | None,
        Field(description="Folder of data sets; comes before the hub."),
        Hint(path="folder", variable="BENCH_DATA_HOME"),
    ] = None
    task: Annotated[
        str,
        Field(
            description="What the labels are: classification (one a row), ordinal (grades), hierarchy (paths such as "
            "A/B), multilabel (several a row, or none); clustering and retrieval rank representations without a head.",
        ),
        Hint(value="NAME"),
    ] = DEFAULT_TASK
    revision: Annotated[str | None, Field(description="Commit of a hub data set."), Hint(unset="the newest")] = None
    max_train: Annotated[int | None, Field(ge=2, description="A seeded stratified subset of the training rows.")] = None
    max_test: Annotated[int | None, Field(ge=1, description="A seeded stratified subset of the test rows.")] = None
    seed: Seed = 0

    @field_serializer("text_column")
    def _as_before(self, value: tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """One column as it was written when there was but one."""
        return value[0] if value is not None and len(value) == 1 else value

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of texts, where there are several."""
        return self.text_column if self.text_column is not None and len(self.text_column) > 1 else ()

    @property
    def title(self) -> str:
        """Its name for people, with the rule for rare classes."""
        if self.min_class_rows is None:
            return self.name
        done = "merged" if self.rare == "merge" else "left out"
        return f"{self.name} (classes of fewer than {self.min_class_rows} training rows {done})"
