"""Training: one model on one dataset with one config. No files, no printing: data in, rows out through a callback."""

from initbench.training.loop import train, warm_up

__all__ = ["train", "warm_up"]
