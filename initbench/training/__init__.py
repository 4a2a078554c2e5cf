"""Training: one model on one dataset with one config. No files, no printing: data in, an outcome and callbacks out."""

from initbench.training.loop import Outcome, train

__all__ = ["Outcome", "train"]
