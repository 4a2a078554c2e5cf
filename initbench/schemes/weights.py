"""Which tensors of a module are weights, and which are biases, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from initbench.errors import SchemeError

if TYPE_CHECKING:
    from torch import Tensor, nn

GATES = {"LSTM": 4, "GRU": 3, "LSTMCell": 4, "GRUCell": 3}  # how many matrices one parameter of a layer stacks


@dataclass(frozen=True)
class Weight:
    """One weight [out, in, *kernel]: a parameter, or one matrix of those that a parameter stacks.

    `tensor` is detached and shares the parameter's storage: what is written to it is written to the module. `name` is
    the parameter's, followed by [i] where it is the i-th of a stack; `layer` names its module, `owner`; `groups` is a
    convolution's.
    """

    name: str
    tensor: Tensor
    owner: nn.Module
    groups: int = 1

    @property
    def parameter(self) -> str:
        """Return the name of the whole parameter."""
        return self.name.partition("[")[0]

    @property
    def layer(self) -> str:
        """Return the name of the module that it belongs to."""
        return self.name.rpartition(".")[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return [out, in, *kernel]."""
        return tuple(self.tensor.shape)

    @property
    def is_recurrent(self) -> bool:
        """Return whether it leads from a recurrent layer's state to its next state."""
        return self.parameter.rpartition(".")[2].startswith("weight_hh")


def weights(module: nn.Module) -> list[Weight]:
    """Return every weight of `module`, in the order of its parameters.

    Weights are the floating-point parameters with two or more dimensions: of Linear, convolutions and embeddings; the
    stacked gates of RNN, GRU and LSTM and the projections of MultiheadAttention one by one. Those of normalization
    layers are none. Raises SchemeError for a lazy module, whose weights have no shape yet.
    """
    return list(_weights(module))


def _weights(module: nn.Module) -> Iterator[Weight]:
    for name, owner, parameter in _parameters(module):
        own_name = name.rpartition(".")[2]
        if not _is_weight(own_name, parameter):
            continue
        blocks, groups = _stacked(owner, own_name), int(getattr(owner, "groups", 1))
        for index, block in enumerate(parameter.detach().chunk(blocks)):
            yield Weight(f"{name}[{index}]" if blocks > 1 else name, block, owner, groups)


def layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return (name, layer) for every submodule that owns a weight, perhaps a shared one, and has no such inside."""
    owners = [(name, layer) for name, layer in module.named_modules() if _owns_a_weight(layer)]
    return [(name, layer) for name, layer in owners if _is_layer(name, layer, [other for other, _ in owners])]


def _owns_a_weight(layer: nn.Module) -> bool:
    from torch.nn.utils import parametrize

    if _is_normalization(layer) or isinstance(layer, parametrize.ParametrizationList):
        return False
    own = layer.named_parameters(recurse=False)
    return parametrize.is_parametrized(layer) or any(_is_weight(name, parameter) for name, parameter in own)


def _is_layer(name: str, owner: nn.Module, owners: list[str]) -> bool:
    """Return whether an owner of a weight is a layer, and no network with a parameter of its own beside its layers."""
    from torch import nn

    inside = f"{name}." if name else ""
    return isinstance(owner, nn.MultiheadAttention) or not any(
        other != name and other.startswith(inside) for other in owners
    )


def biases(module: nn.Module) -> list[tuple[str, nn.Module, Tensor]]:
    """Return (name, owner, bias) for every bias: the one-dimensional parameters named *bias* beside a weight."""
    return [
        (name, owner, parameter)
        for name, owner, parameter in _parameters(module)
        if parameter.dim() == 1
        and "bias" in name.rpartition(".")[2]
        and any(sibling.dim() >= 2 for sibling in owner.parameters(recurse=False))
    ]


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield (name, owner, parameter) for all but those of normalization layers; raises SchemeError for lazy ones."""
    from torch import nn

    for name, parameter in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise SchemeError(f"{name} has no shape yet; send a batch through the lazy module first.")
        if not _is_normalization(owner):
            yield name, owner, parameter


def _is_normalization(owner: nn.Module) -> bool:
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    return isinstance(owner, _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm)


def _is_weight(own_name: str, parameter: Tensor) -> bool:
    is_matrix = parameter.dim() >= 2 and parameter.is_floating_point() and parameter.numel() > 0
    return is_matrix and not own_name.startswith("bias")  # bias_k and bias_v of MultiheadAttention are [1, 1, E]


def _stacked(owner: nn.Module, name: str) -> int:
    """Return how many weight matrices are stacked in parameter `name` along its first dimension."""
    from torch import nn

    if isinstance(owner, nn.RNNBase | nn.RNNCellBase) and name.startswith(("weight_ih", "weight_hh")):
        return GATES.get(type(owner).__name__, 1)
    return 3 if isinstance(owner, nn.MultiheadAttention) and name == "in_proj_weight" else 1
