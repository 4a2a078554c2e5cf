"""Conformance: does a scheme do what it claims? Checks of its contract, its claims and its parameters.

Deterministic: all seeds are fixed, so that a scheme passes always or never. Prints nothing. Importing it imports torch.
"""

from initbench.conformance.findings import DEFINED, SCHEME, Checked, Finding
from initbench.conformance.suite import check

__all__ = ["DEFINED", "SCHEME", "Checked", "Finding", "check"]
