"""The IDX format of the MNIST family: a magic number, big-endian sizes, then one byte per value.

Source: LeCun, Cortes, Burges, "The MNIST database", file formats: bytes 0-1 are 0, byte 2 is the type (8: unsigned
byte), byte 3 the number of dimensions, then one 4-byte size per dimension.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from initbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

UNSIGNED_BYTE = 8
MAGIC_BYTES = 4
SIZE_BYTES = 4


def shape_of(raw: bytes, ndim: int, what: str) -> tuple[int, ...]:
    """Return the sizes in the header of `raw`; raises DataError, naming `what`, where header or length is wrong."""
    offset = MAGIC_BYTES + SIZE_BYTES * ndim
    if len(raw) < offset:
        raise DataError(f"{what}: {len(raw)} bytes are too few for an IDX header of {ndim} dimensions ({offset}).")
    magic = int.from_bytes(raw[:MAGIC_BYTES], "big")
    expected = UNSIGNED_BYTE << 8 | ndim
    if magic != expected:
        raise DataError(f"{what}: not an IDX file of {ndim} dimensions: magic is 0x{magic:08x}, not 0x{expected:08x}.")
    shape: tuple[int, ...] = struct.unpack(f">{ndim}I", raw[MAGIC_BYTES:offset])
    if 0 in shape:
        raise DataError(f"{what}: it holds no values (sizes {list(shape)}).")
    length = offset + math.prod(shape)
    if len(raw) != length:
        raise DataError(f"{what}: {len(raw)} bytes, but its header (sizes {list(shape)}) needs {length}.")
    return shape


def to_tensor(raw: bytes, ndim: int, what: str) -> Tensor:
    """Return the values of `raw` as a uint8 tensor of `ndim` dimensions; raises DataError as `shape_of` does."""
    import torch

    shape = shape_of(raw, ndim, what)
    offset = MAGIC_BYTES + SIZE_BYTES * ndim
    # torch wants writable memory: one copy into a bytearray, which the tensor then keeps
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=offset).view(shape)
