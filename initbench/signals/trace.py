"""Follow a batch through any module: which layer is used when, what comes out of it, which activation follows.

Layers are found by forward hooks on the modules that own a weight, activations by watching torch's functions, so that
nn.ReLU() and torch.relu(x) in a user's forward() are the same. Nothing is kept: each tensor is shown to the visitor
when it is there, and given free.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initbench.schemes.weights import layers
from initbench.spacing import evenly

FUNCTIONS = frozenset(
    {
        *("relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softsign"),
        *("relu6", "hardtanh", "hardsigmoid", "hardswish", "mish", "softplus", "celu", "prelu", "rrelu", "threshold"),
        *("logsigmoid", "tanhshrink", "softshrink", "hardshrink"),
    }
)
PARAMETER = {"leaky_relu": ("negative_slope", 0.01), "elu": ("alpha", 1.0), "gelu": ("approximate", "none")}
STEPS = 8  # of a recurrent layer, evenly spaced, are shown
WAITING = 4  # layers whose activation may still come, when others are used in between


@dataclass
class Use:
    """One use of one layer: its name (with the number of the use, from the second on), its module, its activation.

    `activation` is the name of the torch function that follows, with its parameters where those are not torch's
    defaults; None until one has been seen. `place` counts the uses from 0; `step` is which of a recurrent layer's
    states it is, from 1.
    """

    name: str
    owner: nn.Module
    place: int
    activation: str | None = None
    step: int | None = None

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

    def sequence(self, uses: list[Use], value: Tensor) -> Tensor:
        """See the input [T, ...] of a recurrent layer before its steps `uses`; what is returned goes in instead."""


@contextmanager
def watched(model: nn.Module, visitor: Visitor) -> Iterator[None]:
    """Show `visitor` the pre-activations and activations of each use of each layer that is called within the block."""
    watch = _Watch(visitor)
    hooks = []
    for name, module in layers(model):
        shown = name or type(module).__name__
        if isinstance(module, nn.RNNBase):
            hooks.append(module.register_forward_pre_hook(_begun_in(watch, shown), with_kwargs=True))
        hooks.append(module.register_forward_hook(_shown_to(watch, shown)))
    try:
        with watch:
            yield
        watch.flush()
    finally:
        for hook in hooks:
            hook.remove()


class _Watch(TorchFunctionMode):
    """Holds the layers that were used last until their activation is there, or too many others, or the end."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__()
        self.visitor = visitor
        self._uses: Counter[str] = Counter()
        self._place = 0
        self._waiting: list[tuple[Use, Tensor]] = []
        self._steps: list[Use] = []
        self._before: dict[int, tuple[weakref.ref[Tensor], int]] = {}

    def before(self, value: Any) -> None:
        """Take note that a tensor, as it is now, was there before the layers that wait."""
        if isinstance(value, Tensor):
            self._before[id(value)] = weakref.ref(value), _version(value)

    def _was_before(self, value: Tensor) -> bool:
        seen, version = self._before.get(id(value), (None, 0))
        return seen is not None and seen() is value and version == _version(value)

    def layer(self, name: str, owner: nn.Module, output: Any) -> None:
        """Take note that a layer was used."""
        value = output[0] if isinstance(output, tuple) else output
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() < 2 or not value.numel():
            return
        if isinstance(owner, nn.RNNBase):
            self._states(owner, value)
            return
        self._waiting.append((self._use(self._named(name), owner), value))
        if len(self._waiting) > WAITING:
            self._show(0)

    def _named(self, name: str) -> str:
        """Return the name of a layer's next use."""
        self._uses[name] += 1
        return name if self._uses[name] == 1 else f"{name}, use {self._uses[name]}"

    def _use(self, name: str, owner: nn.Module, step: int | None = None) -> Use:
        self._place += 1
        return Use(name if step is None else f"{name}, step {step}", owner, self._place - 1, step=step)

    def sequence(self, name: str, owner: nn.RNNBase, value: Tensor) -> Tensor:
        """Take note that a recurrent layer begins with `value`, and return what it shall see."""
        by_step, named = _steps_first(owner, value), self._named(name)
        self._steps = [self._use(named, owner, index + 1) for index in evenly(len(by_step), STEPS)]
        return _steps_first(owner, self.visitor.sequence(self._steps, by_step))

    def _states(self, owner: nn.RNNBase, states: Tensor) -> None:
        """Show some of the states of a recurrent layer; its activation is built in."""
        by_step = _steps_first(owner, states)
        for use in self._steps:
            use.activation = str(getattr(owner, "nonlinearity", "tanh"))  # GRU and LSTM have no choice
            self.visitor.activation(use, by_step[(use.step or 1) - 1])
        self._steps = []

    def _show(self, index: int) -> None:
        """Show what comes out of a layer that no activation has followed."""
        use, value = self._waiting.pop(index)
        self.before(value)
        self.visitor.pre_activation(use, value)
        self.visitor.activation(use, value)

    def flush(self) -> None:
        """Show all that still waits."""
        while self._waiting:
            self._show(0)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function; where it is an activation function, show what goes in and what comes out."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").rstrip("_")
        given = args[0] if args else kwargs.get("input")
        if name not in FUNCTIONS or not isinstance(given, Tensor) or (index := self._behind(given)) is None:
            return func(*args, **kwargs)
        use, _ = self._waiting.pop(index)
        use.activation = _described(name, args, kwargs)
        self.visitor.pre_activation(use, given)
        value = func(*args, **kwargs)
        self.visitor.activation(use, value)
        return value

    def _behind(self, given: Tensor) -> int | None:
        """Return which of the waiting layers an activation of `given` follows: the one that put it out.

        Else, with normalization, a sum or a view in between, the last one, if its output has as many entries.
        """
        for index, (_, value) in enumerate(self._waiting):
            if value is given:
                return index
        if not self._waiting or isinstance(given, nn.Parameter) or self._was_before(given):
            return None
        return len(self._waiting) - 1 if given.numel() == self._waiting[-1][1].numel() else None


def _version(value: Tensor) -> int:
    """Return how often a tensor was changed in place; inference tensors do not count it."""
    return 0 if value.is_inference() else value._version


def _steps_first(owner: nn.RNNBase, value: Tensor) -> Tensor:
    """Return [T, B, *] of what is [B, T, *] in a layer with `batch_first`, and the other way round."""
    return value.transpose(0, 1) if owner.batch_first and value.dim() == 3 else value


def _begun_in(watch: _Watch, name: str) -> Callable[[nn.Module, Any, Any], Any]:
    def begin(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        value = inputs[0] if inputs else named.get("input")
        if not isinstance(module, nn.RNNBase) or not isinstance(value, Tensor) or value.dim() != 3:
            return None  # a packed sequence, or one without a batch: its states are not shown
        value = watch.sequence(name, module, value)
        return ((value, *inputs[1:]), named) if inputs else (inputs, {**named, "input": value})

    return begin


def _shown_to(watch: _Watch, name: str) -> Callable[[nn.Module, Any, Any], None]:
    def show(module: nn.Module, inputs: Any, output: Any) -> None:
        for value in inputs:
            watch.before(value)
        watch.layer(name, module, output)

    return show


def _described(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the name of the activation; with its parameters, leaky_relu(0.2), where those are not torch's defaults."""
    if name == "hardtanh":
        ends = _given(args, kwargs, 1, "min_val", -1.0), _given(args, kwargs, 2, "max_val", 1.0)
        named = {(-1.0, 1.0): "hardtanh", (0.0, 6.0): "relu6"}
        return named.get(ends, f"hardtanh({ends[0]:g}, {ends[1]:g})")
    if name not in PARAMETER:
        return name
    keyword, default = PARAMETER[name]
    value = _given(args, kwargs, 1, keyword, default)
    return name if value == default else f"{name}({value})"


def _given(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, keyword: str, default: Any) -> Any:
    return kwargs.get(keyword, args[place] if len(args) > place else default)


def batch_first(value: Tensor, samples: int) -> Tensor:
    """Return `value` [B, ...]; where not the first but the second dimension has B entries, that one comes first."""
    is_second = value.shape[0] != samples and value.dim() > 2 and value.shape[1] == samples
    return value.transpose(0, 1) if is_second else value


def by_unit(value: Tensor, owner: nn.Module) -> Tensor:
    """Return an activation [B, U], [B, U, *space] (of convolutions) or [B, *, U] as a matrix [*, U]."""
    from torch.nn.modules.conv import _ConvNd

    channels = isinstance(owner, _ConvNd) and value.dim() > 2
    return value.movedim(1, -1).flatten(0, -2) if channels else value.flatten(0, -2)
