"""In which precision matrix products are computed: `train.precision`. Weights, sums and all else stay in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch

from initbench.errors import DeviceError

Precision = Literal["float32", "bfloat16"]
_matmul: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009 # set when torch is imported; mypy does not know


def supports(precision: Precision, device: torch.device) -> bool:
    """Whether this machine computes such products in hardware; float32 always, bfloat16 on a CPU with AVX512-BF16 or
    AMX, and on a CUDA device from Ampere on.
    """
    if precision == "float32":
        return True
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise DeviceError where the products would be emulated."""
    if not supports(precision, device):
        raise DeviceError(
            f"train.precision {precision}: {device} has no such products (needed: AVX512-BF16, AMX or CUDA 8.0)."
            " Use train.precision=float32."
        )


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute matrix products, convolutions and recurrences within the block in `precision`, whatever torch is set to.

    bfloat16 on a CPU: oneDNN rounds the factors to bfloat16 and adds up in float32; on CUDA by torch's autocast, whose
    results are rounded to bfloat16 too.
    """
    with ExitStack() as stack:
        if precision == "bfloat16" and device.type == "cuda":
            stack.enter_context(torch.autocast("cuda", torch.bfloat16))
        for kind in ("matmul", "conv", "rnn"):
            stack.enter_context(_onednn(kind, "bf16" if precision == "bfloat16" else "ieee"))
        yield


class FullProducts:
    """Within the block oneDNN computes matrix products in float32 though `products_in` bfloat16 is around it."""

    def __enter__(self) -> None:
        _matmul.fp32_precision = "ieee"

    def __exit__(self, *_: object) -> None:
        _matmul.fp32_precision = "bf16"


@contextmanager
def _onednn(kind: Literal["matmul", "conv", "rnn"], precision: Literal["bf16", "ieee"]) -> Iterator[None]:
    """Let oneDNN compute one kind of operation on float32 in this precision within the block."""
    backend = getattr(torch.backends.mkldnn, kind)
    before = backend.fp32_precision
    backend.fp32_precision = precision
    try:
        yield
    finally:
        backend.fp32_precision = before


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Take numbers below the smallest normal float32 (1.2e-38) for 0 within the block, on the CPU, with one thread.

    Running averages of gradients that have stopped shrink to such numbers and stay there, and processors take many
    times longer for each. With more threads nothing is done: each has a switch of its own, which torch sets in the
    caller's only, and a thread that is born meanwhile would keep it.
    """
    alone = torch.get_num_threads() == 1
    before = _flushes()
    if alone:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if alone:
            torch.set_flush_denormal(before)


def _flushes() -> bool:
    """Whether this thread takes subnormal numbers for 0 already."""
    return bool(torch.full((1,), 1e-38) * 0.5 == 0)
