"""Training: models on one dataset, each by itself or stacked. No files, no printing: data in, rows out."""

from initbench.training.loop import train
from initbench.training.stacked import train_stacked

__all__ = ["train", "train_stacked"]
