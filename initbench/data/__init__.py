"""Datasets as tensors in memory: the MNIST family and digits, found, fetched, verified. Importing it is torch-free.

A new dataset is one new file in `sources` that adds a `Source` to `datasets`.
"""

from __future__ import annotations

from initbench.data.dataset import Dataset, FileCheck, Images, Source
from initbench.data.loading import load
from initbench.data.sources import datasets

__all__ = ["Dataset", "FileCheck", "Images", "Source", "datasets", "load"]
