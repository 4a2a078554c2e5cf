"""The contract of every scheme: it fills what it is given, in place, and all that is random is the generator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from initbench.conformance.draws import BIAS, Draw, draw, same
from initbench.conformance.findings import Finding
from initbench.conformance.subjects import Subject
from initbench.schemes import SchemeSpec
from initbench.schemes.apply import initialize
from initbench.schemes.weights import biases

OTHER_WORLD = 1
RANDOM, FIXED = "random", "the same for every seed"
Named = Mapping[str, Tensor]


def basic_findings(subject: Subject, draws: Sequence[Draw], wide: Draw) -> list[Finding]:
    """Return what must hold before anything can be measured: every entry filled, shape and dtype kept, no side effects.

    `draws` are in float32, `wide` is in float64.
    """
    return [
        _filled(subject, [*draws, wide]),
        _kept(subject, draws, wide),
        _no_global_draws(subject, [*draws, wide]),
    ]


def _filled(subject: Subject, draws: Sequence[Draw]) -> Finding:
    counts = {name: sum(int(one.tensors[name].isfinite().sum()) for one in draws) for name in draws[0].tensors}
    sizes = {name: sum(one.tensors[name].numel() for one in draws) for name in draws[0].tensors}
    missing = sum(sizes.values()) - sum(counts.values())
    first = next((name for name in counts if counts[name] < sizes[name]), "")
    measured = "all" if not missing else f"{missing:,} of {sum(sizes.values()):,} are not ({first})"
    if missing and any(one.returned_tensor for one in draws):
        measured += "; a tensor was returned instead"
    return Finding(subject.name, "fills every entry", "all finite", measured, not missing)


def _kept(subject: Subject, draws: Sequence[Draw], wide: Draw) -> Finding:
    wrong = [
        f"{_kind(tuple(tensor.shape), tensor.dtype)} from {_kind(one.shapes[name], dtype)} ({name})"
        for one, dtype in (*((one, torch.float32) for one in draws), (wide, torch.float64))
        for name, tensor in one.tensors.items()
        if tuple(tensor.shape) != one.shapes[name] or tensor.dtype != dtype
    ]
    measured = wrong[0] if wrong else "kept (float32, float64)"
    return Finding(subject.name, "shape and dtype", "kept", measured, not wrong)


def _kind(shape: tuple[int, ...], dtype: torch.dtype) -> str:
    return f"{shape} {str(dtype).removeprefix('torch.')}"


def _no_global_draws(subject: Subject, draws: Sequence[Draw]) -> Finding:
    libraries = sorted({library for one in draws for library in one.drew_from})
    measured = f"drew from that of {', '.join(libraries)}" if libraries else "untouched"
    return Finding(subject.name, "global generators", "untouched", measured, not libraries)


def generator_findings(subject: Subject, draws: Sequence[Draw], again: Draw, is_random: bool | None) -> list[Finding]:
    """Return whether the generator determines the bits. `again` was drawn last, as `draws[0]` was in another world.

    `is_random` is what the claims say of it, None where they leave it open.
    """
    first = draws[0]
    measured = "same bits"
    if not same(first.tensors, again.tensors):
        measured = "other bits"
    elif not all(map(torch.equal, first.ends, again.ends)):
        measured = "same bits, but other draws"
    return [
        Finding(subject.name, "same generator", "same bits", measured, measured == "same bits"),
        _other_generator(subject, draws, is_random),
    ]


def _other_generator(subject: Subject, draws: Sequence[Draw], is_random: bool | None) -> Finding:
    pairs = [same(one.tensors, other.tensors) for one, other in pairwise(draws)]
    claimed = {None: "all or none differ", True: RANDOM, False: FIXED}[is_random]
    measured = f"alike for {sum(pairs)} of {len(pairs)} pairs of seeds"
    if len(set(pairs)) == 1:
        measured = FIXED if pairs[0] else RANDOM
    passed = measured in (RANDOM, FIXED) if is_random is None else measured == claimed
    return Finding(subject.name, "other generator", claimed, measured, passed)


def bias_finding(subject: Subject, sets_biases: bool, found: Named) -> list[Finding]:
    """Return whether the biases, BIAS before the scheme, are as `sets_biases` says; nothing where there are none."""
    if not found:
        return []
    changed = [name for name, tensor in found.items() if not bool((tensor == BIAS).all())]
    claimed = "set" if sets_biases else "unchanged"
    measured = f"{len(changed)} of {len(found)} set" if changed else "unchanged"
    if changed and not sets_biases:
        measured += f" ({changed[0]})"
    return [Finding(subject.name, "biases", claimed, measured, bool(changed) == sets_biases)]


def data_finding(subject: Subject, spec: SchemeSpec, draws: Sequence[Draw]) -> list[Finding]:
    """Return whether the images that a scheme looked at are as they were."""
    if spec.scheme.needs == "nothing":
        return []
    changed = any(one.changed_data for one in draws)
    return [Finding(subject.name, "images", "unchanged", "changed" if changed else "unchanged", not changed)]


def layer_findings(subject: Subject, spec: SchemeSpec) -> list[Finding]:
    """Return what a rule on one weight does in a model: biases stay, and other layers do not change its draws."""
    alone = _initialized(spec, subject, {"layer": subject.build})
    beside = _initialized(spec, subject, {"new": subject.build, "layer": subject.build})
    unchanged = same(dict(alone["layer"].named_parameters()), dict(beside["layer"].named_parameters()))
    measured = "same draws" if unchanged else "other draws"
    return [
        *bias_finding(subject, spec.scheme.sets_biases, {name: bias for name, _, bias in biases(alone)}),
        Finding(subject.name, "with other layers", "same draws", measured, unchanged),
    ]


def _initialized(spec: SchemeSpec, subject: Subject, layers: Mapping[str, Callable[[], nn.Module]]) -> nn.ModuleDict:
    modules = nn.ModuleDict({name: build() for name, build in layers.items()})
    initialize(modules, spec, generator=torch.Generator().manual_seed(0), bias=BIAS, activation=subject.activation)
    return modules


def redraw(spec: SchemeSpec, subject: Subject) -> Draw:
    """Return another draw with the first seed, with other states of the global generators."""
    return draw(spec, subject, 0, world=OTHER_WORLD)
