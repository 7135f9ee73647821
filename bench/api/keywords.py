"""The keywords of Python calls for type checkers: written by `python tests/keywords.py`, never by hand."""

from collections.abc import Sequence
from typing import Literal, TypedDict


class SearchKeywords(TypedDict, total=False):
    """Settings of `bench.api`; None stands for the default."""

    test_file: str | None
    text_column: Sequence[str] | None
    label_column: str | None
    label_columns: Sequence[str] | None
    label_sign: str | None
    label_order: Sequence[str] | None
    group_column: str | None
    id_column: str | None
    drop_unlabelled: bool | None
    min_class_rows: int | None
    rare: Literal["drop", "merge"] | None
    delimiter: str | None
    encoding: str | None
    quoting: Literal["double", "none"] | None
    no_texts: bool | None
    data_home: str | None
    task: str | None
    revision: str | None
    max_train: int | None
    max_test: int | None
    seed: int | None
    space: str | None
    models: Sequence[str] | None
    trials: int | None
    study: str | None
    time_budget: float | str | None
    wave: int | None
    lazy: bool | None
    against: Sequence[str] | None
    keep: Sequence[str] | None
    workers: int | None
    executor: str | None
    ray_address: str | None
    protocol: Literal["cv", "paper"] | None
    validation_above: int | None
    objective: str | None
    sampler: str | None
    class_weight: Literal["none", "sqrt", "balanced"] | None
    max_latency_ms: float | None
    max_memory_gb: float | None
    backend: str | None
    device: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None
    storage_dtype: Literal["float32", "bfloat16", "float16"] | None
    quantization: Literal["none", "8bit", "4bit"] | None
    attention: str | None
    max_length: int | None
    long: Literal["truncate", "head+tail", "chunks"] | None
    prompts: Sequence[str] | None
    token_budget: int | None
    tensor_parallel: int | None
    gpu_memory_share: float | None
    no_adopt: bool | None
    trust_remote_code: bool | None


class ExtractKeywords(TypedDict, total=False):
    """Settings of `bench.api`; None stands for the default."""

    test_file: str | None
    text_column: Sequence[str] | None
    label_column: str | None
    label_columns: Sequence[str] | None
    label_sign: str | None
    label_order: Sequence[str] | None
    group_column: str | None
    id_column: str | None
    drop_unlabelled: bool | None
    min_class_rows: int | None
    rare: Literal["drop", "merge"] | None
    delimiter: str | None
    encoding: str | None
    quoting: Literal["double", "none"] | None
    no_texts: bool | None
    data_home: str | None
    task: str | None
    revision: str | None
    max_train: int | None
    max_test: int | None
    seed: int | None
    backend: str | None
    device: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None
    storage_dtype: Literal["float32", "bfloat16", "float16"] | None
    quantization: Literal["none", "8bit", "4bit"] | None
    attention: str | None
    max_length: int | None
    long: Literal["truncate", "head+tail", "chunks"] | None
    prompts: Sequence[str] | None
    token_budget: int | None
    tensor_parallel: int | None
    gpu_memory_share: float | None
    no_adopt: bool | None
    trust_remote_code: bool | None
    workers: int | None
    executor: str | None
    ray_address: str | None


class ReproduceKeywords(TypedDict, total=False):
    """Settings of `bench.api`; None stands for the default."""

    test_file: str | None
    text_column: Sequence[str] | None
    label_column: str | None
    label_columns: Sequence[str] | None
    label_sign: str | None
    label_order: Sequence[str] | None
    group_column: str | None
    id_column: str | None
    drop_unlabelled: bool | None
    min_class_rows: int | None
    rare: Literal["drop", "merge"] | None
    delimiter: str | None
    encoding: str | None
    quoting: Literal["double", "none"] | None
    no_texts: bool | None
    data_home: str | None
    task: str | None
    revision: str | None
    max_train: int | None
    max_test: int | None
    seed: int | None
    backend: str | None
    device: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None
    storage_dtype: Literal["float32", "bfloat16", "float16"] | None
    quantization: Literal["none", "8bit", "4bit"] | None
    attention: str | None
    max_length: int | None
    long: Literal["truncate", "head+tail", "chunks"] | None
    prompts: Sequence[str] | None
    token_budget: int | None
    tensor_parallel: int | None
    gpu_memory_share: float | None
    no_adopt: bool | None
    trust_remote_code: bool | None
    repetitions: int | None
    folds: int | None
