"""The images that a data-dependent scheme looks at: kept as they are stored, float32 in [0, 1] when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from initbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Generator, Tensor


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

    def draw(self, size: int, generator: Generator) -> tuple[Tensor, Tensor | None]:
        """Return a batch of `size` different images (all, where there are fewer), drawn with `generator`."""
        import torch

        index = torch.randperm(len(self), generator=generator)[:size].to(self.images.device)
        return self.floats(index), None if self.labels is None else self.labels[index]
