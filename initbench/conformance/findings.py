"""What the checks find: of each subject and property what is claimed, what was measured, and whether the two agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from initbench.errors import InitbenchError

SCHEME = "the scheme"  # the subject of what is checked once, not on each layer or model
DEFINED = "defined"  # the property of the finding, without a verdict, that says why a subject is left out


@dataclass(frozen=True)
class Finding:
    """One property of a scheme on one subject. `passed` is None where nothing is claimed: for information."""

    subject: str
    property: str
    claimed: str
    measured: str
    passed: bool | None


@dataclass(frozen=True)
class Checked:
    """A scheme and all that was found of it."""

    scheme: str
    findings: tuple[Finding, ...]

    @property
    def subjects(self) -> int:
        """Return how many layers or models it was tried on."""
        return len({one.subject for one in self.findings if one.passed is not None} - {SCHEME})

    @property
    def checks(self) -> int:
        """Return how many findings passed or failed."""
        return sum(one.passed is not None for one in self.findings)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Return the findings that failed."""
        return tuple(one for one in self.findings if one.passed is False)


@dataclass(frozen=True)
class Outcome:
    """What a check of one property says of one weight; the larger `deviation`, the more it deserves to be shown."""

    claimed: str
    measured: str
    passed: bool | None
    deviation: float = 0.0

    def of(self, subject: str, checked: str) -> Finding:
        """Return it as the finding about property `checked` of `subject`."""
        return Finding(subject, checked, self.claimed, self.measured, self.passed)


def worst(outcomes: Sequence[tuple[str, Outcome]]) -> Outcome:
    """Return of the (weight's name, outcome) pairs the worst, which says of which weight it is where they differ."""
    name, outcome = max(outcomes, key=lambda pair: (pair[1].passed is False, pair[1].deviation))
    if len({other.measured for _, other in outcomes}) == 1:
        return outcome
    return replace(outcome, measured=f"{outcome.measured} ({name})")


def guarded(subject: str, checked: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what `check` finds; where it raises, one failed finding with the error's text."""
    try:
        return check()
    except Exception as error:
        return [Finding(subject, checked, "no error", one_line(error), False)]


def one_line(error: Exception) -> str:
    """Return what went wrong on one line: of an error that is not initbench's own, its type too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InitbenchError) else f"{type(error).__name__}: {text}".removesuffix(": ")
