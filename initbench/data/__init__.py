"""Datasets as tensors in memory: the MNIST family and digits, found, fetched, verified. Importing it is torch-free.

A new dataset is one new file in this folder that adds a `Source` to `datasets`.
"""

from __future__ import annotations

from initbench.data.dataset import Dataset, FileCheck, Images, Source, datasets
from initbench.data.loading import load
from initbench.registry import import_siblings

__all__ = ["Dataset", "FileCheck", "Images", "Source", "datasets", "load"]

import_siblings(__name__, list(__path__))
