"""The files of a run, in memory until a store keeps them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from initbench.results import Record

if TYPE_CHECKING:
    from torch import Tensor

Phase = Literal["pretraining", "training", "signals"]


class RunFiles:
    """The files of one run, in memory until a store keeps them: `contents`, by their names."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []  # of metrics.jsonl
        self._files: dict[str, bytes] = {}

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of each file."""
        return {"metrics.jsonl": self.rows, **self._files}

    @property
    def rows(self) -> bytes:
        """All rows of metrics.jsonl so far."""
        return b"".join(self._rows)

    @rows.setter
    def rows(self, rows: bytes) -> None:
        self._rows = [rows]

    def row(self, phase: Phase, row: Record) -> None:
        """Append one row to metrics.jsonl."""
        line = json.dumps({"phase": phase, **row.model_dump(mode="json")}, allow_nan=False)
        self._rows.append(line.encode() + b"\n")

    def text(self, file: str, content: str) -> None:
        r"""Add one text file; what UTF-8 does not have (a byte of a path that is no text) is written as \udcff."""
        self._files[file] = content.encode(errors="backslashreplace")

    def json(self, file: str, content: dict[str, Any]) -> None:
        """Add one JSON file; raises ValueError for NaN and infinity, which JSON does not have."""
        self.text(file, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def weights(self, state: dict[str, Tensor]) -> None:
        """Add the model's state as safetensors (contiguous, on the CPU)."""
        from safetensors.torch import save

        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        self._files["weights.safetensors"] = save(contiguous)
