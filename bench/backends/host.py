"""The way of results from a graphics processor to the host's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_host(states: Tensor) -> Tensor:
    """`states` on the CPU, and there when this returns.

    From CUDA they go into page-locked memory, which PyTorch keeps for the next batch: into other memory an H200 was
    seen to copy 1.8 GB/s, so that all layers of a pass took longer to fetch than to compute.
    """
    import torch

    if not states.is_cuda:
        return states.cpu()
    host = torch.empty(states.shape, dtype=states.dtype, pin_memory=True)
    host.copy_(states, non_blocking=True)
    torch.cuda.current_stream(states.device).synchronize()
    return host
