"""The runtimes of graphs: what they need, what they compute in, and how a module becomes a file of theirs."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.backends.openvino.runtime import library
from bench.errors import BenchError, in_words, listed
from bench.models.quiet import quiet_transformers
from bench.packaging.graphs.manifest import Precision
from bench.packaging.graphs.module import StageModule

OUTPUTS = ("probabilities", "scores", "distances")
Fed = Mapping[str, np.ndarray]
ONE_FILE = 1 << 30
"""Bytes of weights up to which they lie in the graph's own file: a protobuf message holds two GiB."""


@dataclass(frozen=True)
class Runtime:
    """What runs graphs.

    Attributes:
        name: As `format` has it.
        title: For people.
        needs: Modules that making a graph takes, by precision.
        ending: Of a graph's file.
        write: Writes an exported program to a file in a precision; the batches are of training rows, by which int8 is
            calibrated.
    """

    name: str
    title: str
    needs: Mapping[Precision, tuple[str, ...]]
    ending: str
    write: Callable[[torch.export.ExportedProgram, Sequence[str], Path, Precision, Sequence[Fed]], None]


def runtime_for(name: str, precision: str) -> Runtime:
    """The runtime of that name, which computes in that precision here.

    Raises:
        BenchError: it is not installed, or has no such arithmetic.
    """
    runtime = RUNTIMES[name]
    if precision not in runtime.needs:
        raise BenchError(
            f"{runtime.title} has no kernels of {precision} for a processor: leave out `precision`, or use "
            f"`format='openvino'`, which has them where the processor does."
        )
    if missing := [each for each in runtime.needs[precision] if find_spec(each) is None]:  # type: ignore[index]
        raise BenchError(
            f"A graph of {runtime.title} in {precision} needs {listed(missing)}: python -m pip install 'bench[graph]'."
        )
    if precision == "bfloat16" and "BF16" not in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BenchError("This processor has no bfloat16 arithmetic that OpenVINO can use: leave out `precision`.")
    return runtime


def exported(module: StageModule, names: Sequence[str], longest: int) -> torch.export.ExportedProgram:
    """The module's pass over any number of texts of any length up to `longest`; `names` are its inputs'.

    Raises:
        BenchError: it cannot be followed.
    """
    texts, tokens = torch.export.Dim("texts"), torch.export.Dim("tokens", max=longest)
    # models cut texts differently
    each = [torch.export.Dim(f"tokens_{place}", max=longest) for place in range(1, len(names) // 2 + 1)]
    each = each if len(each) > 1 else [tokens]
    example: list[Tensor] = []
    for place in range(len(each)):
        mask = torch.ones(2, 7 + place, dtype=torch.int64)
        mask[1, 4:] = 0
        example += [mask.clone(), mask]
    shapes = tuple({0: texts, 1: tokens} for tokens in each for _ in range(2))
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(module.eval(), tuple(example), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:  # a body can be what cannot be followed in many ways
        raise _unexported("torch", error) from error


def _write_onnx(
    program: torch.export.ExportedProgram, names: Sequence[str], file: Path, precision: Precision, fed: Sequence[Fed]
) -> None:
    weights = sum(value.nbytes for value in program.state_dict.values())
    try:
        with _quiet():
            made: Any = torch.onnx.export(
                program, (), input_names=list(names), output_names=list(OUTPUTS), dynamo=True, verbose=False
            )
    except Exception as error:  # as above
        raise _unexported("ONNX", error) from error
    if precision == "float32":
        made.save(str(file), external_data=weights > ONE_FILE)
        return
    whole = file.with_name(f"whole-{file.name}")
    made.save(str(whole), external_data=weights > ONE_FILE)
    _quantise_onnx(whole, file, fed, external=weights > ONE_FILE)
    for each in whole.parent.glob(f"{whole.name}*"):
        each.unlink()


def _quantise_onnx(whole: Path, file: Path, fed: Sequence[Fed], *, external: bool) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(fed)

        def get_next(self) -> Any:
            batch = next(self._batches, None)
            return None if batch is None else dict(batch)

    with _quiet():
        quantize_static(
            str(whole),
            str(file),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
            # products of two activations stay as they are
            extra_options={"MatMulConstBOnly": True, "ActivationSymmetric": False},
        )


def _write_openvino(
    program: torch.export.ExportedProgram, names: Sequence[str], file: Path, precision: Precision, fed: Sequence[Fed]
) -> None:
    openvino = library()
    try:
        with _quiet():
            graph = openvino.convert_model(program)
    except Exception as error:  # as above
        raise _unexported("OpenVINO", error) from error
    for port, name in [*zip(graph.inputs, names, strict=True), *zip(graph.outputs, OUTPUTS, strict=True)]:
        port.get_tensor().set_names({name})
    if precision == "int8":
        import nncf

        with _quiet():
            graph = nncf.quantize(
                graph,
                nncf.Dataset(list(map(dict, fed))),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(fed),
            )
    # weights as they are: half of their digits would be rounded away otherwise
    openvino.save_model(graph, str(file), compress_to_fp16=False)


def _unexported(what: str, error: Exception) -> BenchError:
    return BenchError(
        f"The candidate cannot become a graph ({what}: {in_words(error)[:200]}): export it without `format`, as a "
        "model that torch runs."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on what they are doing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "nncf", "root", "")]
    before = [each.level for each in loggers]
    with quiet_transformers(), warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, before, strict=True):
                each.setLevel(level)


RUNTIMES: Mapping[str, Runtime] = {
    "onnx": Runtime(
        "onnx",
        "ONNX Runtime",
        dict.fromkeys(("float32", "int8"), ("onnx", "onnxscript", "onnxruntime")),
        ".onnx",
        _write_onnx,
    ),
    "openvino": Runtime(
        "openvino",
        "OpenVINO",
        {"float32": ("openvino",), "bfloat16": ("openvino",), "int8": ("openvino", "nncf")},
        ".xml",
        _write_openvino,
    ),
}
