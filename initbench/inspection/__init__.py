"""Inspect starting values without training: a module of one's own, or several schemes in a config's model."""

from initbench.inspection.config_schemes import inspect_schemes
from initbench.inspection.own_module import inspect

__all__ = ["inspect", "inspect_schemes"]
