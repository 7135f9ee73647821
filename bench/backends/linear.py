"""float32 linear layers whose weights are packed for oneDNN.

On x86 processors PyTorch's float32 `linear` may go through a slower library; oneDNN with weights packed once does the
same products at the same precision, on some processors at more than twice the rate. The two operators are those that
PyTorch's own inductor emits, and private, so they are used only where they exist and are shown to be exact.
"""

import functools
import platform

import torch
from torch import Tensor, nn

# float32 products of this size differ by about 1e-6 of their norm between libraries; bfloat16 rounding gives 1e-3.
PRECISION = 1e-5


class PackedLinear(nn.Module):
    """`nn.Linear` for inference, over a weight in oneDNN's own layout."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())  # noqa: SLF001
        self.bias = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")  # noqa: SLF001
        return product


@functools.cache
def packing_works() -> bool:
    """Whether the operators exist here, on an x86 processor, and keep full float32 precision."""
    if platform.machine().lower() not in {"x86_64", "amd64"} or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return False
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(256, 192)
    rows = torch.randn(64, 256, generator=generator)
    with torch.inference_mode():
        linear.weight.copy_(torch.randn(192, 256, generator=generator))
        exact = nn.functional.linear(rows.double(), linear.weight.double(), linear.bias.double())
        try:
            found = PackedLinear(linear)(rows)
        except RuntimeError:
            return False
    return bool((found - exact).norm() <= PRECISION * exact.norm())


def pack_linears(model: nn.Module) -> None:
    """Replace every float32 `nn.Linear` in `model`, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            # A subclass, such as a quantised layer, computes something else.
            if type(child) is nn.Linear and child.weight.dtype == torch.float32:
                setattr(module, name, PackedLinear(child))
