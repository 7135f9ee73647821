"""Linear layers by the fastest products of a processor: packed for oneDNN with what follows, or widened.

On x86 processors PyTorch's float32 `linear` may go through a slower library; oneDNN with weights packed once does the
same products at the same precision, on some processors at more than twice the rate. In bfloat16 PyTorch takes oneDNN
itself, but packs the weights anew for each product; the results are the same bit for bit. An activation that is
computed on the product's sums before they are rounded and stored spares a pass over the widest states of a block. The
operators are those that PyTorch's own inductor emits, and private, so they are used only where they exist and are shown
to be exact.

A processor without bfloat16 arithmetic (x86 before AVX-512's) gets none of it from oneDNN, and PyTorch's own products
are then a hundred times as slow as float32's. Widened to float32, multiplied and rounded once, the numbers are those
that processors with such arithmetic give, within rounding.
"""

import functools
import platform
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Products of this size differ by about 1e-6 of their norm between float32 libraries; bfloat16 rounding gives 2e-3.
PRECISION = {torch.float32: 1e-5, torch.bfloat16: 4e-3}


class Activation(NamedTuple):
    """What may follow a product, as oneDNN has it: the function, and its operation and algorithm there."""

    function: Callable[[Tensor], Tensor]
    operation: str
    algorithm: str = ""


NOTHING = Activation(lambda rows: rows, "none")
# By the name of transformers' class, of which the function is compared with oneDNN's before it is used.
ACTIVATIONS = {
    "GELUActivation": Activation(functional.gelu, "gelu", "none"),
    "GELUTanh": Activation(functools.partial(functional.gelu, approximate="tanh"), "gelu", "tanh"),
    "SiLUActivation": Activation(functional.silu, "swish"),
}
# Where blocks of the bodies that run here keep an activation → the linear layer whose product alone it is given.
FOLLOWS = {"intermediate_act_fn": "dense", "act_fn": "gate_proj"}


class PackedLinear(nn.Module):
    """`nn.Linear` and what follows it, for inference, over a weight in oneDNN's own layout."""

    def __init__(self, linear: nn.Linear, activation: Activation = NOTHING) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())  # noqa: SLF001
        self.bias = linear.bias
        self._operation, self._algorithm = activation.operation, activation.algorithm

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            rows, self.weight, self.bias, self._operation, [], self._algorithm
        )
        return product


@functools.cache
def packing_works(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the operators exist here, on an x86 processor, and keep the full precision of `dtype`."""
    if platform.machine().lower() not in {"x86_64", "amd64"} or not torch.backends.mkldnn.is_available():
        return False
    if dtype not in PRECISION or not all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    ):
        return False
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(256, 192, dtype=dtype)
    rows = torch.randn(64, 256, generator=generator).to(dtype)
    with torch.inference_mode():
        linear.weight.copy_(torch.randn(192, 256, generator=generator) / 16)
        product = functional.linear(rows.double(), linear.weight.double(), linear.bias.double())
        for activation in (NOTHING, *ACTIVATIONS.values()):
            exact = activation.function(product)
            try:
                found = PackedLinear(linear, activation)(rows)
            except RuntimeError:
                return False
            # written so that NaN is not exact
            if not (found - exact).norm() <= PRECISION[dtype] * exact.norm():
                return False
    return True


@functools.cache
def widens() -> bool:
    """Whether this processor multiplies bfloat16 numbers faster as float32."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and not supported()


class WidenedLinear(nn.Linear):
    """`nn.Linear` whose products are float32's, rounded to its own dtype."""

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(rows.float(), self.weight.float(), bias).to(rows.dtype)


def widen_linears(model: nn.Module) -> None:
    """Make every plain `nn.Linear` in bfloat16 a widened one, in place, where this processor asks for it."""
    for module in model.modules() if widens() else ():
        if type(module) is nn.Linear and module.weight.dtype == torch.bfloat16:
            # the same layer with other products: whoever looks at its weights or type sees a linear layer
            module.__class__ = WidenedLinear


def pack_linears(model: nn.Module) -> None:
    """Replace every plain `nn.Linear` in `model`, and the activations that can be computed with one, in place."""
    for module in list(model.modules()):
        followed = {FOLLOWS[name]: name for name, _ in module.named_children() if name in FOLLOWS}
        for name, child in list(module.named_children()):
            # A subclass, such as a quantised layer, computes something else.
            if type(child) is nn.Linear and packing_works(child.weight.dtype):
                activation = _activation(module, followed.get(name))
                setattr(module, name, PackedLinear(child, activation or NOTHING))
                if activation is not None:
                    setattr(module, followed[name], nn.Identity())


def _activation(module: nn.Module, name: str | None) -> Activation | None:
    return None if name is None else ACTIVATIONS.get(type(getattr(module, name)).__name__)
