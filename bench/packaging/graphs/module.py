"""A stage of a pipeline as one torch module: token ids and masks in, probabilities, scores and distances out."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.backends.architectures import fastest_attention, tested
from bench.backends.body import Body
from bench.backends.loading import load_body
from bench.errors import BenchError
from bench.extraction import STORAGE
from bench.fusion import FUSIONS
from bench.heads import FittedHead
from bench.models.resolve import ResolvedModel
from bench.specs import Candidate


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over a text's tokens."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last token of a text."""
    return hidden[torch.arange(hidden.shape[0]), mask.sum(1) - 1]


def first(hidden: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG001 - as the others
    """The first token of a text."""
    return hidden[:, 0]


POOLED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": mean, "last": last, "first": first}
"""Of hidden states [b, t, w] padded on the right, with a mask int64 [b, t]: bench's poolings in a form that exports."""


class StageModule(nn.Module):
    """What a stage answers of b texts, as one pass.

    Its arguments are ids and mask of each model in turn, int64 [b, t] each; it gives probabilities and scores, float32
    [b, classes], and distances, float32 [b], as `GraphClassifier` has them.
    """

    def __init__(
        self,
        candidate: Candidate,
        head: FittedHead,
        models: Mapping[str, ResolvedModel],
        storage: Mapping[str, str],
        temperature: float,
    ) -> None:
        """Load the bodies of the candidate's `models` up to its layers; `storage` is what states were kept in.

        Raises:
            BenchError: it pools by what has no form here, or a body cannot be loaded.
        """
        super().__init__()
        if odd := sorted({source.pooling for source in candidate.sources} - POOLED.keys()):
            raise BenchError(f"The pooling '{odd[0]}' has no form in a graph yet, as {', '.join(POOLED)} have.")
        self._candidate, self._head, self._temperature = candidate, head, temperature
        scales = [scaling.scale for part in head.parts for scaling in part.scalings]
        self._columns = max(1, sum(int((scale > 0).sum()) for scale in scales))
        self._storage = {name: STORAGE[storage[name]] for name in candidate.models}
        self._bodies: dict[str, Body] = {}
        modules = []
        for name in candidate.models:
            deepest = max(source.layer for source in candidate.sources if source.model == name)
            module, layers = load_body(
                models[name], torch.float32, deepest, attn_implementation=fastest_attention(models[name])
            )
            self._bodies[name] = Body(module, layers, models[name])
            if not tested(models[name]):
                self._bodies[name].learn_layout()
            modules.append(module)
        # where an exporter looks for weights
        self.modules_of_bodies = nn.ModuleList(modules)

    def forward(self, *tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One pass."""
        pooled: dict[str, Tensor] = {}
        for name, ids, mask in zip(self._candidate.models, tokens[::2], tokens[1::2], strict=True):
            own = [source for source in self._candidate.sources if source.model == name]
            states = self._bodies[name].states(
                {"input_ids": ids, "attention_mask": mask}, {source.layer for source in own}
            )
            for source in own:
                rows = POOLED[source.pooling](states[source.layer], mask)
                pooled[str(source)] = rows.to(self._storage[name]).float()
        return self.said([pooled[str(source)] for source in self._candidate.sources])

    def said(self, sources: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """What the head says of pooled states, [b, w] a source."""
        parts = self._head.parts
        if len(parts) == 1:
            logs = parts[0].outputs(sources).log_softmax(-1)
        else:
            each = [part.outputs([x]).softmax(-1) for part, x in zip(parts, sources, strict=True)]
            logs = FUSIONS[self._head.fusion].fuse(each).log()
        scalings = [scaling for part in parts for scaling in part.scalings]
        squares = [scaling.apply(x).square().sum(1) for scaling, x in zip(scalings, sources, strict=True)]
        distances = (torch.stack(squares).sum(0) / self._columns).sqrt()
        return (logs / self._temperature).softmax(-1), logs.exp(), distances
