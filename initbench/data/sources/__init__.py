"""The datasets, one a file: each adds a `Source` to the registry."""

from __future__ import annotations

from initbench.data.dataset import datasets
from initbench.registry import import_siblings

__all__ = ["datasets"]

import_siblings(__name__, list(__path__))
