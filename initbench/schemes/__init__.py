"""The catalogue of initialization schemes: one family per file, found by name. Importing it does not import torch.

A new scheme is one decorated function in a file of this folder:

    @register_scheme("mine", formula="W ~ N(0, 1/fan_in^2)", source="...", good_for="...")
    def mine(weight, *, generator, scale: float = 1.0): ...

Its keyword parameters, with their types and defaults, are read from the signature.
"""

from __future__ import annotations

from initbench.registry import import_siblings
from initbench.schemes.catalogue import Scheme, register_scheme, schemes
from initbench.schemes.spec import SchemeSpec, distinct, parse

__all__ = ["Scheme", "SchemeSpec", "distinct", "parse", "register_scheme", "schemes"]

import_siblings(__name__, list(__path__))
