"""How a check ended, in the words of the check that says so."""

from __future__ import annotations

from initbench.provenance import Check


def ok(name: str, remark: str = "") -> Check:
    """Return a check that found nothing wrong."""
    return Check(name, "ok", remark)


def failed(name: str, reason: str) -> Check:
    """Return a check that found what is wrong."""
    return Check(name, "failed", reason)


def not_checked(name: str, reason: str) -> Check:
    """Return a check that could not be made."""
    return Check(name, "not checked", reason)
