"""Read the weights in a run's folder, whoever wrote them: safetensors, which can hold no code, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from initbench.errors import StoreError
from initbench.store.opening import read_file

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.safetensors"
# what a model's state may be made of: its weights, its counters, its masks
TYPES = tuple(
    f"torch.{name}"
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors in the weights.safetensors of a run's folder by their names.

    Raises StoreError where there is none, and where it is damaged, too large, or holds types that no model has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    file = folder / WEIGHTS
    try:
        tensors = load(read_file(file))
    except OSError as error:
        raise _unreadable(file, f"{error.strerror or error}") from error
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch does not have
        raise _unreadable(file, "damaged, or no safetensors file") from error
    for name, tensor in tensors.items():
        if str(tensor.dtype) not in TYPES:
            raise _unreadable(file, f"{name[:80]!r} is {tensor.dtype}, which no model's weights are")
    return tensors


def _unreadable(file: Path, reason: str) -> StoreError:
    return StoreError(f"{file}: {reason}. The weights of this run cannot be read; train it again with --fresh.")
