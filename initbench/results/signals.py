"""What an inspection finds: the signal in every layer, the gradient coming back, the weights, and theory beside it.

A number that is not there (the batch has one sample, a value is not finite, theory does not apply) is None, never NaN.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import FailFast, Field

from initbench.results.record import SCHEMA_VERSION, Count, Fraction, Record
from initbench.results.run import DatasetInfo

VerdictKind = Literal[
    "not finite",
    "no signal",
    "symmetric",
    "saturates",
    "dies",
    "collapses",
    "vanishes",
    "shrinks",
    "grows",
    "explodes",
    "gradient vanishes",
    "gradient shrinks",
    "gradient grows",
    "gradient explodes",
    "loss",
    "keeps a spread",
    "healthy",
]
Phase = Literal["ordered", "critical", "chaotic"]


class Histogram(Record):
    """Counts in bins of equal width from `low` to `high`; one bin where all values are the same (low = high)."""

    low: float
    high: float
    counts: Annotated[tuple[Count, ...], FailFast()]


class Spectrum(Record):
    """Singular values s of a layer's Jacobian dz_l / dz_(l-1), z the activations; all min(units) of them count.

    `mean` is what Glorot & Bengio 2010, section 4.2.2, report. `percentiles` are the 5th, 25th, 50th, 75th, 95th.
    """

    mean: float
    percentiles: tuple[float, float, float, float, float]
    largest: float


class LayerTheory(Record):
    """What mean-field theory predicts of one fully connected layer, before looking at its activations.

    `pre_rms` is sqrt(q_l); `pre_rms_error` the standard deviation that a network of this width has about it, for one
    input; `backward` is E[delta_l^2] / E[delta_(l+1)^2], None for the last layer; `delta_rms` follows from it and the
    measured delta_rms of the last layer.
    """

    pre_rms: float
    pre_rms_error: float
    backward: float | None
    delta_rms: float | None


class LayerSignal(Record):
    """One use of one layer. Moments are over samples and units (and positions, of a convolution).

    The pre-activation is the input of the activation function that follows the layer, or the layer's output where none
    does; then `activation` is None and the activation is that output, too.
    """

    name: str = Field(description="the layer's name; 'cell, use 2' and 'rnn, step 7' where it has several rows")
    kind: str = Field(description="the layer's class, such as Linear")
    activation: str | None
    units: Count
    values: Count = Field(description="activations of one sample: units times positions")
    step: Count | None = Field(description="which step's state it is, from 1; None but for recurrent layers")
    finite: Fraction = Field(description="share of the activations that are neither NaN nor infinite")
    pre_mean: float | None
    pre_std: float | None
    pre_rms: float | None = Field(description="sqrt(q): root of the mean square of the pre-activations")
    mean: float | None
    std: float | None
    sample_std: float | None = Field(
        description="how far the activations of different inputs differ: root of the mean, over units, of the variance"
        " over samples; None for a batch of one"
    )
    saturated: Fraction | None = Field(
        description="share within 0.01 of the ends of a bounded activation; None where it is not bounded"
    )
    dead: Fraction | None = Field(
        description="share of units that are 0 on the whole batch; None where not a ReLU, or for fewer than 16 samples"
    )
    effective_rank: float | None = Field(
        description="of the centred activations of at most max_rank + 1 samples: exp of the entropy of the normalized"
        " singular values (Roy & Vetterli 2007)"
    )
    max_rank: Count | None = Field(description="the largest value that effective_rank can have here")
    histogram: Histogram | None = Field(description="of the finite activations")
    delta_rms: float | None = Field(
        description="root mean square of the gradient of the mean loss with respect to the pre-activations; of a"
        " recurrent layer with respect to its input at that step"
    )
    delta_finite: Fraction | None = Field(
        description="share of that gradient that is neither NaN nor infinite; None where no gradient came back"
    )
    jacobian: Spectrum | None = None
    theory: LayerTheory | None = None

    @property
    def label(self) -> str:
        """Return the name of the layer with its activation: fc1 sigmoid."""
        return f"{self.name} {self.activation}" if self.activation else self.name


class WeightSignal(Record):
    """One weight [out, in, *kernel] (of those that gates stack, one by one), and the gradient that reaches it."""

    name: str
    shape: Annotated[tuple[Count, ...], FailFast()]
    scheme: str | None = Field(description="what filled it; None where the weights were taken as they are")
    formula: str | None
    fan_in: Count
    fan_out: Count
    gain: float | None
    target_std: float | None = Field(description="by the scheme's formula; None where it has none for this weight")
    mean: float | None
    std: float | None
    finite: Fraction
    symmetry: float | None = Field(
        description="how alike the units are: mean inner product of two units' incoming weights (with the bias, where"
        " it is known to be theirs) over their mean square: 1 where all are equal, 0 for independent ones; None for one"
        " unit"
    )
    used: bool = Field(description="whether the loss depends on it")
    grad_norm: float | None
    grad_std: float | None
    grad_symmetry: float | None = Field(description="the same of the gradients: at 1 training keeps the units alike")
    grad_column_symmetry: float | None = Field(
        description="the same of the columns of the gradient, one an input: at 1 the units below stay alike, too"
    )
    update_ratio: float | None = Field(description="norm of the optimizer's first step over the norm of the weight")


class NetworkTheory(Record):
    """Mean-field theory of the hidden layers, taken as endless: W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2).

    `q` is the variance that the pre-activations end at (None: it grows without end), `chi1` the factor of squared
    gradients per layer there, `depth_scale` = 1 / |log(chi1)| in layers (None: infinite), `trainable_depth` six of them
    (Schoenholz et al. 2017; None: no limit), `critical_sigma_w` the edge of chaos at this sigma_b (None:
    there is none).
    """

    activation: str
    sigma_w: float
    sigma_b: float
    q: float | None
    chi1: float
    phase: Phase
    depth_scale: float | None
    trainable_depth: float | None
    critical_sigma_w: float | None


class Verdict(Record):
    """One sentence on the network as a whole, and what kind of statement it is."""

    kind: VerdictKind
    text: str


class SignalRow(Record):
    """What one look at a network found, during training after `epoch` epochs; 0 is the initialization."""

    epoch: Count
    problem: str | None = Field(None, description="why nothing could be measured, where nothing could")
    layers: Annotated[tuple[LayerSignal, ...], FailFast()]
    weights: Annotated[tuple[WeightSignal, ...], FailFast()]


class SignalReport(Record):
    """What one scheme's starting values do in one network, on one batch, with one seed.

    Gains are factors per layer, geometric means over the hidden layers: `forward_gain` of pre_rms, `sample_gain` of
    sample_std, from the first to the last, `backward_gain` of the gradient's norm (delta_rms times the root of values),
    from the last to the first; of a recurrent layer per step. `jacobian_mean` is the mean over layers of the mean
    singular value.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    scheme: str | None
    seed: int | None
    input: str = Field(description="what was sent through, in words")
    samples: int
    gradient_samples: int
    loss: float | None
    layers: tuple[LayerSignal, ...]
    weights: tuple[WeightSignal, ...]
    forward_gain: float | None
    sample_gain: float | None
    backward_gain: float | None
    jacobian_mean: float | None
    theory: NetworkTheory | None
    no_theory: str | None = Field(description="why there is no theory beside the measurement, where there is none")
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = Field(description="what else a reader should know: unused weights, a batch of one")

    @property
    def verdict(self) -> str:
        """Return all verdicts as one text."""
        return "; ".join(verdict.text for verdict in self.verdicts)


class Inspection(Record):
    """Several schemes in the same network, with the same seed and the same batch."""

    schema_version: Literal[1] = SCHEMA_VERSION
    config: dict[str, Any]
    device: str
    dataset: DatasetInfo | None = Field(description="None for random input")
    parameters: int
    reports: tuple[SignalReport, ...]
