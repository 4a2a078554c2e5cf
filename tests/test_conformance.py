"""The conformance checks: every built-in scheme passes, and each kind of liar fails where it lies."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor, nn

from initbench.conformance import DEFINED, SCHEME, Finding, check
from initbench.conformance.claims import kolmogorov_p, moments
from initbench.conformance.findings import Outcome, worst
from initbench.errors import SchemeError
from initbench.events import InitStep
from initbench.schemes import register_scheme, schemes
from initbench.schemes.claims import Normal, TruncatedNormal, Uniform
from initbench.schemes.samples import Samples

# fewer steps than by default, so that this stays quick
QUICK = {"metainit": "metainit:steps=3", "rbm": "rbm:epochs=2", "dbn": "dbn:epochs=2", "sdae": "sdae:epochs=2"}
OTHERS = ["he_normal:truncated=true", "he_uniform:gain=auto:mode=fan_out", "orthogonal:gain=0", "normal:mean=2:std=0"]

Register = Callable[..., None]


def failed(findings: list[Finding]) -> set[str]:
    return {finding.property for finding in findings if finding.passed is False}


def found(findings: list[Finding], checked: str, subject: str) -> Finding:
    (one,) = [finding for finding in findings if (finding.subject, finding.property) == (subject, checked)]
    return one


@pytest.mark.parametrize("spec", [*(QUICK.get(name, name) for name in schemes), *OTHERS])
def test_every_built_in_scheme_passes(spec: str) -> None:
    findings = check(spec)
    assert [finding for finding in findings if finding.passed is False] == []
    assert sum(finding.passed is True for finding in findings) >= 8


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register a rule as scheme `own`, for one test."""
    monkeypatch.setattr(schemes, "_items", dict(schemes._items))
    monkeypatch.setattr(schemes, "_aliases", dict(schemes._aliases))
    texts = {"formula": "W ~ N(0, 0.1²)", "source": "a test", "good_for": "testing"}
    return lambda fill, **claims: register_scheme("own", **{"dimensions": (2,), **texts, **claims})(fill) and None


def normal(weight: Tensor, *, generator: Generator) -> None:
    weight.normal_(0, 0.1, generator=generator)


def uniform(weight: Tensor, *, generator: Generator) -> None:
    weight.uniform_(-0.1 * math.sqrt(3), 0.1 * math.sqrt(3), generator=generator)


def orthogonal(weight: Tensor, *, generator: Generator) -> None:
    nn.init.orthogonal_(weight, generator=generator)


def from_torchs_global(weight: Tensor, *, generator: Generator) -> None:
    weight.normal_(0, 0.1)


def from_numpys_global(weight: Tensor, *, generator: Generator) -> None:
    weight.copy_(torch.from_numpy(np.random.normal(0, 0.1, tuple(weight.shape))))


def from_pythons_global(weight: Tensor, *, generator: Generator) -> None:
    weight.fill_(random.gauss(0, 0.1))  # the lie that is to be found


def first_row_only(weight: Tensor, *, generator: Generator) -> None:
    weight[0].normal_(0, 0.1, generator=generator)


def a_new_tensor(weight: Tensor, *, generator: Generator) -> Tensor:
    return torch.empty_like(weight).normal_(0, 0.1, generator=generator)


def in_float64(weight: Tensor, *, generator: Generator) -> None:
    weight.data = weight.double().normal_(0, 0.1, generator=generator)


def transposed(weight: Tensor, *, generator: Generator) -> None:
    weight.data = weight.T.contiguous().normal_(0, 0.1, generator=generator)


def repeated_rows(weight: Tensor, *, generator: Generator) -> None:
    half = weight[: len(weight) // 2].normal_(0, 0.1, generator=generator)
    weight[len(weight) // 2 :] = half


def idle_parameter(weight: Tensor, *, generator: Generator, scale: float = 1.0) -> None:
    normal(weight, generator=generator)


def divides_by_zero(weight: Tensor, *, generator: Generator) -> None:
    weight.fill_(1 / 0)


BOUNDED = TruncatedNormal(0, 0.1, -0.25, 0.25)
LIARS: dict[str, tuple[Callable[..., Any], dict[str, Any], set[str]]] = {
    "another std": (normal, {"std": lambda shape: 0.05}, {"std"}),
    "another mean": (normal, {"distribution": lambda shape: Normal(0.02, 0.1)}, {"mean", "distribution"}),
    "uniform, not normal": (uniform, {"distribution": lambda shape: Normal(0, 0.1)}, {"distribution"}),
    "not cut": (normal, {"distribution": lambda shape: BOUNDED}, {"std", "support"}),
    "rows twice": (repeated_rows, {"distribution": lambda shape: Normal(0, 0.1)}, {"independence"}),
    "not orthogonal": (normal, {"gain": lambda: 1.0}, {"singular values"}),
    "another gain": (orthogonal, {"gain": lambda: 1.1}, {"singular values"}),
    "torch's generator": (from_torchs_global, {}, {"global generators", "same generator"}),
    "numpy's generator": (from_numpys_global, {}, {"global generators", "same generator"}),
    "python's generator": (from_pythons_global, {}, {"global generators", "same generator"}),
    "not all filled": (first_row_only, {}, {"fills every entry"}),
    "not in place": (a_new_tensor, {}, {"fills every entry"}),
    "another dtype": (in_float64, {}, {"shape and dtype"}),
    "another shape": (transposed, {}, {"shape and dtype"}),
    "an idle parameter": (idle_parameter, {}, {"effect of scale"}),
    "biases claimed": (normal, {"sets_biases": True}, {"biases"}),
    "a claim that cannot be read": (normal, {"std": lambda: 0.1}, {"std"}),
    "no source": (normal, {"source": " "}, {"description"}),
    "fits nothing": (normal, {"dimensions": (6,)}, {"fits something"}),
    "an error": (divides_by_zero, {}, {"draws"}),
}


@pytest.mark.parametrize(("rule", "claims", "where"), LIARS.values(), ids=LIARS)
def test_a_liar_fails_where_it_lies(
    own: Register, rule: Callable[..., Any], claims: dict[str, Any], where: set[str]
) -> None:
    own(rule, **claims)
    assert failed(check("own")) == where


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        (normal, {"distribution": lambda shape: Normal(0, 0.1)}),
        (normal, {"distribution": lambda shape: stats.norm(0, 0.1)}),
        (normal, {"std": lambda shape: 0.1}),
        (uniform, {"distribution": lambda shape: stats.uniform(-0.1 * math.sqrt(3), 0.2 * math.sqrt(3))}),
        (repeated_rows, {"std": lambda shape: 0.1}),
        (orthogonal, {"gain": lambda: 1.0, "std": lambda shape: 1 / math.sqrt(max(shape))}),
    ],
)
def test_honest_schemes_of_a_user_pass(own: Register, rule: Callable[..., Any], claims: dict[str, Any]) -> None:
    own(rule, **claims)
    assert failed(check("own")) == set()


def test_numbers_claimed_and_measured(own: Register) -> None:
    own(normal, std=lambda shape: 0.05)
    finding = found(check("own"), "std", "Linear 128->128")
    # 16 draws of 128 x 128 normal entries: 5 standard errors are 5 * 0.05 / sqrt(2 * 16 * 128²) = 0.0003
    assert (finding.claimed[:11], float(finding.measured)) == ("0.05 ± 0.00", pytest.approx(0.1, rel=0.01))


def test_what_went_wrong_is_said(own: Register) -> None:
    own(divides_by_zero)
    assert found(check("own"), "draws", "Linear 128->128").measured == "ZeroDivisionError: division by zero"


def test_a_tensor_that_is_returned_is_pointed_out(own: Register) -> None:
    own(a_new_tensor)
    assert "a tensor was returned" in found(check("own"), "fills every entry", "Linear 128->128").measured


def test_a_scheme_that_counts_its_calls_depends_on_their_order(own: Register) -> None:
    calls = []

    def counting(weight: Tensor, *, generator: Generator) -> None:
        calls.append(weight)
        weight.normal_(0, 1 + len(calls), generator=generator)

    own(counting)
    assert failed(check("own")) == {"same generator", "with other layers"}


def test_a_scheme_that_remembers_its_first_draw_is_found_by_what_it_leaves_of_the_generator(own: Register) -> None:
    memory: dict[tuple[int, ...], Tensor] = {}

    def remembering(weight: Tensor, *, generator: Generator) -> None:
        key = tuple(weight.shape)
        if key not in memory:
            memory[key] = torch.randn(key, generator=generator)
        weight.copy_(memory[key])

    own(remembering)
    findings = check("own")
    assert found(findings, "same generator", "Linear 128->128").measured == "same bits, but other draws"
    assert found(findings, "other generator", "Linear 128->128").measured == "the same for every seed"


def test_a_parameter_that_matters_only_beside_another_passes(own: Register) -> None:
    def patient(weight: Tensor, *, generator: Generator, most: float = 100.0, attempts: int = 10) -> None:
        weight.normal_(0, 0.1, generator=generator)
        for _ in range(attempts):
            if weight.std() > most:
                weight.div_(2)

    own(patient)
    findings = check("own")
    assert failed(findings) == set()
    assert found(findings, "effect of attempts", SCHEME).measured.startswith("only beside others: own:most=0.01")


def test_random_is_what_differs_by_the_generator(own: Register) -> None:
    """16 times the draws of one seed are no better than one: other findings may fail, too."""

    def from_its_own_seed(weight: Tensor, *, generator: Generator) -> None:
        weight.normal_(0, 0.1, generator=Generator().manual_seed(0))

    own(from_its_own_seed, distribution=lambda shape: Normal(0, 0.1))
    finding = found(check("own"), "other generator", "Linear 128->128")
    assert (finding.claimed, finding.measured, finding.passed) == ("random", "the same for every seed", False)


def fill_model(model: nn.Module, generator: Generator) -> None:
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            parameter.detach().normal_(0, 0.1, generator=generator)


def changes_biases(model: nn.Module, *, generator: Generator) -> None:
    fill_model(model, generator)
    for name, parameter in model.named_parameters():
        if name == "out.bias":
            parameter.detach().zero_()


def changes_images(model: nn.Module, *, generator: Generator, data: Samples) -> None:
    fill_model(model, generator)
    data.images.mul_(2)


def leaves_the_output_out(model: nn.Module, *, generator: Generator) -> None:
    fill_model(model.get_submodule("out"), generator)


def never(model: nn.Module, activation: str | None, **params: object) -> None:
    raise SchemeError("none is good enough. Choose another scheme.")


@pytest.mark.parametrize(
    ("rule", "claims", "where"),
    [
        (changes_biases, {}, {"biases"}),
        (changes_biases, {"sets_biases": True}, set()),
        (changes_biases, {"sets_biases": True, "std": lambda shape: 0.1}, set()),
        (changes_biases, {"sets_biases": True, "std": lambda shape: 0.2}, {"std"}),
        (changes_images, {"needs": "a batch"}, {"images"}),
        (leaves_the_output_out, {}, {"draws"}),
        (changes_biases, {"fits": never}, {"fits something"}),
    ],
)
def test_rules_on_a_whole_model(
    own: Register, rule: Callable[..., Any], claims: dict[str, Any], where: set[str]
) -> None:
    own(rule, **claims)
    assert failed(check("own")) == where


def test_where_a_scheme_is_not_defined_is_said_and_is_no_failure() -> None:
    findings = [finding for finding in check("fixup") if finding.property == DEFINED]
    assert {finding.subject for finding in findings} >= {"MLP, relu", "LSTM"}
    assert {finding.passed for finding in findings} == {None}
    assert "no residual block" in findings[0].measured


def test_each_gate_of_a_recurrent_layer_is_held_to_the_claims(own: Register) -> None:
    def two_gates_wide(weight: Tensor, *, generator: Generator) -> None:
        weight.normal_(0, 0.1 if weight.shape == (32, 32) else 0.2, generator=generator)

    own(two_gates_wide, std=lambda shape: 0.2)
    std = found(check("own"), "std", "LSTM 48->32")
    assert std.passed is False
    assert "weight_hh_l0[" in std.measured


def test_findings_do_not_change_from_call_to_call_nor_with_the_global_generators() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = check("orthogonal_recurrent")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert check("orthogonal_recurrent") == first


def test_the_report_hears_of_every_subject() -> None:
    steps: list[InitStep] = []
    check("zeros", steps.append)
    assert [step.done for step in steps] == list(range(steps[0].total))
    assert (steps[0].text, steps[-1].text) == ("Linear 128->128", "parameters")


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        (Normal(0.5, 0.1), stats.norm(0.5, 0.1)),
        (Uniform(-1, 3), stats.uniform(-1, 4)),
        (TruncatedNormal(0.2, 1.5, -1, 2), stats.truncnorm(-1.2 / 1.5, 1.8 / 1.5, 0.2, 1.5)),
        (stats.expon(1000), stats.expon(1000)),
    ],
    ids=["normal", "uniform", "truncated", "scipy"],
)
def test_moments_are_those_of_the_distribution(claimed: Any, expected: Any) -> None:
    mean, variance, excess = expected.stats("mvk")
    found = moments(claimed)
    assert (found.mean, found.std) == pytest.approx((mean, math.sqrt(variance)), rel=1e-5)
    assert found.kurtosis == pytest.approx(3 + excess, rel=1e-3)


def test_p_is_scipys() -> None:
    entries = np.random.default_rng(0).normal(0.003, 1, 20_000)
    expected = stats.kstest(entries, stats.norm.cdf, method="asymp").pvalue
    assert kolmogorov_p(entries, Normal(0, 1)) == pytest.approx(expected, rel=1e-12)


def test_the_worst_outcome_is_shown() -> None:
    good, bad = Outcome("1", "0.9", True, 0.5), Outcome("1", "2", False, 0.1)
    assert worst([("a", good), ("b", bad)]).measured == "2 (b)"
    assert worst([("a", good), ("b", good)]) == good


def test_a_text_that_is_no_scheme_is_an_error() -> None:
    with pytest.raises(SchemeError, match="unknown scheme 'nosuch'"):
        check("nosuch")


def test_what_is_checked_once_is_about_the_scheme() -> None:
    once = [finding.property for finding in check("normal") if finding.subject == SCHEME]
    assert once == ["description", "text read back", "effect of mean", "effect of std"]
