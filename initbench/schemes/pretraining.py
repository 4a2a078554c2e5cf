"""Unsupervised pre-training, layer by layer: Boltzmann machines and denoising autoencoders hand over what they learned.

Works on plain stacks of Linear layers. Each layer is trained on what the layers below make
of them, by a sigmoid, whatever the network's own activation is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field

from initbench.events import InitStep
from initbench.results import PretrainingRow
from initbench.schemes.catalogue import register_scheme
from initbench.schemes.filling import fill, streams
from initbench.schemes.samples import Samples, inputs_of
from initbench.schemes.stack import StackLayer, stack

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from initbench.pretraining import EpochStatistics

Epochs = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=100_000)]
Rate = Annotated[float, Field(gt=0, le=100)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
CORRUPTIONS = (0.1, 0.2, 0.3)  # of the first, second, and all further layers: Vincent et al. 2010 by the LISA tutorial


class Encoder(Protocol):
    """What a layer learned: h = sigmoid(v W^T + c)."""

    @property
    def weight(self) -> "Tensor":
        """Return the weight [H, V]."""

    @property
    def hidden_bias(self) -> "Tensor":
        """Return the bias [H]."""


Report = Callable[[InitStep], None]
OnEpoch = Callable[["EpochStatistics"], None]
Fit = Callable[["Tensor", StackLayer, "Generator", OnEpoch], Encoder]


def needs_linear_stack(model: "nn.Module", activation: str | None, **params: object) -> None:
    """Raise SchemeError unless the model is a plain stack of Linear layers with a hidden one."""
    stack(model)


@register_scheme(
    "rbm",
    formula="first layer: W, b of a restricted Boltzmann machine; other W ~ N(0, std²)",
    source="Hinton 2002 (CD-k); Tieleman 2008 (PCD); Hinton & Salakhutdinov 2006",
    good_for="sigmoid networks; features of the images before any label is seen",
    needs="the training set",
    sets_biases=True,
    fits=needs_linear_stack,
)
def rbm(
    model: "nn.Module",
    *,
    generator: "Generator",
    data: Samples,
    report: Report,
    epochs: Epochs = 10,
    batch_size: BatchSize = 100,
    lr: Rate = 0.1,
    k: Annotated[int, Field(ge=1, le=1_000)] = 1,
    persistent: bool = False,
    momentum: Fraction = 0.5,
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0002,
    std: Annotated[float, Field(ge=0)] = 0.01,
) -> None:
    """Train one restricted Boltzmann machine on the images, and start the first layer with its weights and biases.

    Contrastive divergence with `k` steps, or persistent chains. The other layers start as N(0, std^2), their biases
    as `init.bias` says.
    """
    fit = _machines(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        k=k,
        persistent=persistent,
        momentum=momentum,
        weight_decay=weight_decay,
        std=std,
    )
    layers = stack(model)
    _pretrain(model, layers, layers[:1], fit, epochs, std, generator=generator, data=data, report=report)


@register_scheme(
    "dbn",
    formula="each hidden layer: W, b of an RBM trained on the layer below; last W ~ N(0, std²)",
    source="Hinton, Osindero & Teh 2006; Bengio et al. 2007",
    good_for="deep sigmoid networks, which plain random weights do not get going",
    needs="the training set",
    sets_biases=True,
    fits=needs_linear_stack,
)
def dbn(
    model: "nn.Module",
    *,
    generator: "Generator",
    data: Samples,
    report: Report,
    epochs: Epochs = 10,
    batch_size: BatchSize = 100,
    lr: Rate = 0.1,
    k: Annotated[int, Field(ge=1, le=1_000)] = 1,
    persistent: bool = False,
    momentum: Fraction = 0.5,
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0002,
    std: Annotated[float, Field(ge=0)] = 0.01,
) -> None:
    """Train a stack of restricted Boltzmann machines, each on the hidden probabilities of the one below.

    Their weights and hidden biases start the hidden layers; the last layer starts as N(0, std^2).
    """
    fit = _machines(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        k=k,
        persistent=persistent,
        momentum=momentum,
        weight_decay=weight_decay,
        std=std,
    )
    layers = stack(model)
    _pretrain(model, layers, layers[:-1], fit, epochs, std, generator=generator, data=data, report=report)


@register_scheme(
    "sdae",
    formula="each hidden layer: W, b of an autoencoder that undoes the masking of its inputs; last W ~ N(0, std²)",
    source="Vincent et al. 2010, section 3; corruption .1, .2, .3 by layer",
    good_for="deep sigmoid networks",
    needs="the training set",
    sets_biases=True,
    fits=needs_linear_stack,
)
def sdae(
    model: "nn.Module",
    *,
    generator: "Generator",
    data: Samples,
    report: Report,
    epochs: Epochs = 10,
    batch_size: BatchSize = 100,
    lr: Rate = 0.1,
    corruption: Fraction | Literal["rising"] = "rising",
    std: Annotated[float, Field(ge=0)] = 0.01,
) -> None:
    """Train a stack of denoising autoencoders with tied weights, each on the clean codes of the one below.

    A share `corruption` of the inputs is set to 0: rising is .1, .2, .3, .3, ... from the first layer up.
    """
    from initbench.pretraining import fit_denoising_autoencoder

    layers = stack(model)

    def fit(inputs: "Tensor", layer: StackLayer, stream: "Generator", on_epoch: OnEpoch) -> Encoder:
        rising = CORRUPTIONS[min(layers.index(layer), len(CORRUPTIONS) - 1)]
        return fit_denoising_autoencoder(
            inputs,
            layer.weight.shape[0],
            generator=stream,
            corruption=rising if corruption == "rising" else corruption,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            on_epoch=on_epoch,
        )

    _pretrain(model, layers, layers[:-1], fit, epochs, std, generator=generator, data=data, report=report)


def _machines(**settings: Any) -> Fit:
    """Return the function that fits a Boltzmann machine with these settings to a layer's inputs."""
    from initbench.pretraining import fit_rbm

    def fit(inputs: "Tensor", layer: StackLayer, stream: "Generator", on_epoch: OnEpoch) -> Encoder:
        return fit_rbm(inputs, layer.weight.shape[0], generator=stream, on_epoch=on_epoch, **settings)

    return fit


def _pretrain(
    model: "nn.Module",
    layers: list[StackLayer],
    trained: list[StackLayer],
    fit: Fit,
    epochs: int,
    std: float,
    *,
    generator: "Generator",
    data: Samples,
    report: Report,
) -> None:
    """Fit each of the `trained` layers on the codes of the one below, and draw the others from N(0, std^2)."""
    import torch

    stream, total = streams(generator), epochs * len(trained)
    inputs = inputs_of(layers[0].module, model, data)  # [N,V]
    for index, layer in enumerate(trained):
        encoder = fit(inputs, layer, stream(layer.name), _reporter(layer.name, index * epochs, total, report))
        layer.module.weight.detach().copy_(encoder.weight)
        if layer.module.bias is not None:
            layer.module.bias.detach().copy_(encoder.hidden_bias)
        if index + 1 < len(trained):
            inputs = torch.sigmoid_(torch.addmm(encoder.hidden_bias, inputs, encoder.weight.T))  # [N,H]
    for layer in layers[len(trained) :]:
        fill(layer.weight, f"normal:std={std}", generator=stream(layer.name))


def _reporter(layer: str, done: int, total: int, report: Report) -> OnEpoch:
    def on_epoch(statistics: "EpochStatistics") -> None:
        row = PretrainingRow(
            layer=layer,
            epoch=statistics.epoch,
            reconstruction_error=statistics.reconstruction_error,
            free_energy=statistics.free_energy,
            pseudo_log_likelihood=statistics.pseudo_log_likelihood,
            seconds=statistics.seconds,
        )
        report(InitStep(f"pre-training {layer}", done + statistics.epoch, total, row))

    return on_epoch
