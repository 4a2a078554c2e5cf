"""All checks of one scheme, on every layer or network that it fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from initbench.conformance.claims import CHECKS, Hold, Sample
from initbench.conformance.contract import (
    basic_findings,
    bias_finding,
    data_finding,
    generator_findings,
    layer_findings,
    redraw,
)
from initbench.conformance.draws import Draw, draw, global_generators
from initbench.conformance.findings import DEFINED, SCHEME, Finding, guarded, one_line, worst
from initbench.conformance.parameters import parameter_findings
from initbench.conformance.subjects import LAYERS, Subject, networks
from initbench.errors import SchemeError
from initbench.events import InitStep
from initbench.schemes import SchemeSpec, parse
from initbench.schemes.apply import check_model
from initbench.schemes.weights import weights
from initbench.threads import torch_threads

DRAWS = 16  # of a rule with claims: seeds 0, 1, ..., pooled
FEW_DRAWS = 2  # of a rule on a whole model that claims nothing of its weights


def check(scheme: str | SchemeSpec, report: Callable[[InitStep], None] = lambda step: None) -> list[Finding]:
    """Return what the checks find of `scheme`, on every layer (or network, for a rule on a whole model) that it fits.

    A scheme that raises is a failed finding with the error's text, as is one that fits nothing. `report` hears which
    subject comes next. Raises SchemeError for a text that is no scheme.
    """
    spec = scheme if isinstance(scheme, SchemeSpec) else parse(scheme)
    # one thread: for tensors as small as these more are slower, by far where the cores are taken
    with torch_threads(1), global_generators(0):  # building a layer draws from torch's
        return _check(spec, report)


def _check(spec: SchemeSpec, report: Callable[[InitStep], None]) -> list[Finding]:
    subjects = networks() if spec.scheme.level == "model" else LAYERS
    findings, fitting = _described(spec), []
    for done, subject in enumerate(subjects):
        report(InitStep(subject.name, done, len(subjects) + 1))
        reason = _unfit(spec, subject)
        if reason is None:
            fitting.append(subject)
            findings += guarded(subject.name, "draws", partial(_subject_findings, spec, subject))
        else:
            findings.append(reason)
    report(InitStep("parameters", len(subjects), len(subjects) + 1))
    return [*findings, *_on_the_whole(spec, fitting, findings)]


def _described(spec: SchemeSpec) -> list[Finding]:
    """Return whether the catalogue can say what the scheme is, and its text be read back."""
    scheme = spec.scheme
    missing = [name for name in ("formula", "source", "good_for") if not getattr(scheme, name).strip()]
    measured = f"no {', '.join(missing)}" if missing else "complete"
    described = Finding(SCHEME, "description", "complete", measured, not missing)

    def read_back() -> list[Finding]:
        again, same = parse(str(spec)), "the same scheme"
        return [Finding(SCHEME, "text read back", same, same if again == spec else str(again), again == spec)]

    return [described, *guarded(SCHEME, "text read back", read_back)]


def _unfit(spec: SchemeSpec, subject: Subject) -> Finding | None:
    """Return the finding that says why the scheme is not defined on `subject`; None where it is."""
    module = subject.build()
    try:
        check_model(module, spec, activation=subject.activation)
    except SchemeError as error:
        return Finding(subject.name, DEFINED, "", _reason(spec, module, error), None)
    except Exception as error:
        return Finding(subject.name, DEFINED, "yes or a SchemeError", one_line(error), False)
    return None


def _reason(spec: SchemeSpec, module: nn.Module, error: SchemeError) -> str:
    """Return why the scheme does not fit: its dimensions, or the error's first sentence, without the remedies."""
    for weight in weights(module):
        if spec.scheme.level == "weight" and len(weight.shape) not in spec.scheme.dimensions:
            return f"its weight has {len(weight.shape)} dimensions"
    first = one_line(error).split(". ")[0].rstrip(".")
    return first.removeprefix(f"scheme {spec.name!r} does not fit this model: ")


def _on_the_whole(spec: SchemeSpec, fitting: list[Subject], findings: list[Finding]) -> list[Finding]:
    if not fitting:
        last = findings[-1].measured
        return [Finding(SCHEME, "fits something", "at least one", f"none; the last: {last}", False)]
    return guarded(SCHEME, "parameters", lambda: parameter_findings(spec, fitting))


def _subject_findings(spec: SchemeSpec, subject: Subject) -> list[Finding]:
    """Return what the checks find on one subject: what was measured only where the basics hold."""
    scheme = spec.scheme
    has_claims = scheme.level == "weight" or scheme.distribution or scheme.std or scheme.gain
    draws = [draw(spec, subject, seed) for seed in range(DRAWS if has_claims else FEW_DRAWS)]
    wide, again = draw(spec, subject, 0, dtype=torch.float64), redraw(spec, subject)
    basics = basic_findings(subject, draws, wide)
    if not all(finding.passed for finding in basics):
        return basics + generator_findings(subject, draws, again, None)
    samples = _samples(spec, subject, draws)
    findings = basics + generator_findings(subject, draws, again, _claims_randomness(samples))
    if scheme.level == "model":
        findings += bias_finding(subject, scheme.sets_biases, draws[0].biases) + data_finding(subject, spec, draws)
    else:
        findings += guarded(subject.name, "in a model", lambda: layer_findings(subject, spec))
    for checked, hold in CHECKS.items():
        findings += guarded(subject.name, checked, partial(_held, subject, checked, hold, samples))
    return findings


def _samples(spec: SchemeSpec, subject: Subject, draws: list[Draw]) -> dict[str, Sample]:
    """Return the draws of each weight by its name."""
    return {
        name: Sample(spec, torch.stack([one.matrices[name] for one in draws]), groups, subject.activation)
        for name, groups in draws[0].groups.items()
    }


def _claims_randomness(samples: dict[str, Sample]) -> bool | None:
    """Return what the claimed distribution says of it, None without one."""
    try:
        claimed = next(iter(samples.values())).distribution
    except Exception:  # which the check of the distribution reports
        return None
    return None if claimed is None else claimed.std() > 0


def _held(subject: Subject, checked: str, hold: Hold, samples: dict[str, Sample]) -> list[Finding]:
    """Return the worst outcome of one check among the weights of a subject; nothing where it has no such claim."""
    outcomes = [(name, outcome) for name, sample in samples.items() if (outcome := hold(sample)) is not None]
    return [worst(outcomes).of(subject.name, checked)] if outcomes else []
