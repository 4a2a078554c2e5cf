"""The images that a data-dependent scheme looks at: kept as they are stored, float32 in [0, 1] when they are used."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from initbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Samples:
    """N training images [N, ...], uint8 in [0, 255] or floating-point, with their labels [N] where they are known.

    Raises UsageError where there are no images, or not a label for each.
    """

    images: Tensor
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        if self.images.dim() < 2 or not len(self.images):
            raise UsageError(
                f"data: images of shape {tuple(self.images.shape)} given; at least one is needed, [N, ...]."
            )
        if self.labels is not None and len(self.labels) != len(self.images):
            raise UsageError(f"data: {len(self.images)} images and {len(self.labels)} labels; each image needs one.")

    def __len__(self) -> int:
        return len(self.images)

    def floats(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Return the images at `index` as floats: [B, ...], uint8 divided by 255."""
        import torch

        chosen = self.images[index]
        return chosen.to(torch.float32).div_(255) if chosen.dtype == torch.uint8 else chosen

    def draw(self, size: int, generator: Generator, model: nn.Module) -> tuple[Tensor, Tensor | None]:
        """Return a batch of `size` different images (all, where there are fewer), drawn with `generator`.

        The images [B, ...] have the device and the dtype of the model's parameters, the labels [B] its device.
        """
        import torch

        index = torch.randperm(len(self), generator=generator)[:size].to(self.images.device)
        like = next((one for one in model.parameters() if one.is_floating_point()), torch.empty(0))
        images = self.floats(index).to(like.device, like.dtype)
        return images, None if self.labels is None else self.labels[index].to(like.device)


class _Reached(Exception):  # noqa: N818 # no error: the layer was reached, nothing behind it matters
    """Ends a forward pass."""


def inputs_of(layer: nn.Module, model: nn.Module, data: Samples, chunk: int = 2_000) -> Tensor:
    """Return what `layer` of `model` sees of all images [N, ...]: what comes before it, such as flattening, is done."""
    import torch

    seen: list[Tensor] = []

    def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach())
        raise _Reached

    hook = layer.register_forward_pre_hook(stop)
    try:
        for start in range(0, len(data), chunk):
            with torch.no_grad(), contextlib.suppress(_Reached):
                model(data.floats(slice(start, start + chunk)))
    finally:
        hook.remove()
    return torch.cat(seen)
