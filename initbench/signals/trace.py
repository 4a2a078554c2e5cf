"""Follow a batch through any module: which layer is used when, what comes out of it, which activation follows.

Layers are found by forward hooks on the modules that own a weight, activations by watching torch's functions, so that
nn.ReLU() and torch.relu(x) in a user's forward() are the same. Nothing is kept: each tensor is shown to the visitor
when it is there, and given free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initbench.schemes.weights import layers

FUNCTIONS = frozenset(
    {
        *("relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softsign"),
        *("relu6", "hardtanh", "hardsigmoid", "hardswish", "mish", "softplus", "celu", "prelu", "rrelu", "threshold"),
        *("logsigmoid", "tanhshrink", "softshrink", "hardshrink"),
    }
)
PARAMETER = {"leaky_relu": ("negative_slope", 0.01), "elu": ("alpha", 1.0), "gelu": ("approximate", "none")}
STEPS = 8  # of a recurrent layer, evenly spaced, are shown


@dataclass
class Use:
    """One use of one layer: its name (with the number of the use, from the second on), its module, its activation.

    `activation` is the name of the torch function that follows, with its parameter where that is not torch's default;
    None until one has been seen.
    """

    name: str
    owner: nn.Module
    activation: str | None = None

    @property
    def kind(self) -> str:
        """Return the class of the layer."""
        return type(self.owner).__name__


class Visitor(Protocol):
    """What wants to see the tensors of a forward pass."""

    def pre_activation(self, use: Use, value: Tensor) -> None:
        """See what goes into the activation function, before it may be overwritten in place."""

    def activation(self, use: Use, value: Tensor) -> None:
        """See what comes out of it; the pre-activation again where no activation function follows."""


@contextmanager
def watched(model: nn.Module, visitor: Visitor) -> Iterator[None]:
    """Show `visitor` the pre-activations and activations of each use of each layer that is called within the block."""
    watch = _Watch(visitor)
    hooks = [
        module.register_forward_hook(_shown_to(watch, name or type(module).__name__)) for name, module in layers(model)
    ]
    try:
        with watch:
            yield
        watch.flush()
    finally:
        for hook in hooks:
            hook.remove()


class _Watch(TorchFunctionMode):
    """Holds the layer that was used last until its activation is there, or the next layer, or the end."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__()
        self.visitor = visitor
        self._uses: Counter[str] = Counter()
        self._last: tuple[Use, Tensor] | None = None

    def layer(self, name: str, owner: nn.Module, output: Any) -> None:
        """Take note that a layer was used."""
        self.flush()
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() >= 2 and value.numel():
            self._uses[name] += 1
            of_use = name if self._uses[name] == 1 else f"{name}, use {self._uses[name]}"
            if isinstance(owner, nn.RNNBase):
                self._states(of_use, owner, value)
            else:
                self._last = Use(of_use, owner), value

    def _states(self, name: str, owner: nn.RNNBase, states: Tensor) -> None:
        """Show some of the states [T, B, H] of a recurrent layer; its activation is built in."""
        by_step = states.transpose(0, 1) if owner.batch_first and states.dim() == 3 else states
        activation = getattr(owner, "nonlinearity", "tanh")  # GRU and LSTM have no choice
        for step in evenly(len(by_step), STEPS):
            use = Use(f"{name}, step {step + 1}", owner, str(activation))
            self.visitor.activation(use, by_step[step])

    def flush(self) -> None:
        """Show what comes out of the last layer, where no activation has followed it."""
        if self._last is not None:
            use, value = self._last
            self._last = None
            self.visitor.pre_activation(use, value)
            self.visitor.activation(use, value)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function; where it is an activation function, show what goes in and what comes out."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").rstrip("_")
        given = args[0] if args else kwargs.get("input")
        if self._last is None or name not in FUNCTIONS or not isinstance(given, Tensor):
            return func(*args, **kwargs)
        use, _ = self._last
        self._last = None
        use.activation = name + _parameter(name, args, kwargs)
        self.visitor.pre_activation(use, given)
        value = func(*args, **kwargs)
        self.visitor.activation(use, value)
        return value


def _shown_to(watch: _Watch, name: str) -> Callable[[nn.Module, Any, Any], None]:
    return lambda module, inputs, output: watch.layer(name, module, output)


def _parameter(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return "(0.2)" for a leaky_relu of this slope, "" for torch's default."""
    if name not in PARAMETER:
        return ""
    keyword, default = PARAMETER[name]
    value = kwargs.get(keyword, args[1] if len(args) > 1 else default)
    return "" if value == default else f"({value})"


def evenly(available: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the indices 0 to available - 1, evenly spaced, the first and the last among them."""
    if available <= wanted:
        return list(range(available))
    if wanted == 1:
        return [available - 1]
    return [round(index * (available - 1) / (wanted - 1)) for index in range(wanted)]


def batch_first(value: Tensor, samples: int) -> Tensor:
    """Return `value` [B, ...]; where not the first but the second dimension has B entries, that one comes first."""
    is_second = value.shape[0] != samples and value.dim() > 2 and value.shape[1] == samples
    return value.transpose(0, 1) if is_second else value


def by_unit(value: Tensor, owner: nn.Module) -> Tensor:
    """Return an activation [B, U], [B, U, *space] (of convolutions) or [B, *, U] as a matrix [*, U]."""
    from torch.nn.modules.conv import _ConvNd

    channels = isinstance(owner, _ConvNd) and value.dim() > 2
    return value.movedim(1, -1).flatten(0, -2) if channels else value.flatten(0, -2)
