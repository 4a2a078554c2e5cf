"""Recurrent layers step by step, for stacks of replicas: torch's fused kernels know one model at a time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Recurrence(nn.Module):
    """What an nn.RNN, nn.GRU or nn.LSTM computes, in operations that torch.func.vmap has rules for.

    With a_t = W_ih x_t + b_ih and u_t = W_hh h_{t-1} + b_hh, both cut into the gates of the cell, h_0 = c_0 = 0:
        rnn   h_t = phi(a_t + u_t), phi tanh or ReLU (Elman 1990)
        gru   r, z = sigma(a + u); n = tanh(a + r u); h_t = (1 - z) n + z h_{t-1} (Cho et al. 2014)
        lstm  i, f, o = sigma(a + u); g = tanh(a + u); c_t = f c_{t-1} + i g; h_t = o tanh(c_t) (Hochreiter &
              Schmidhuber 1997)
    The parameters are those of `rnn`, by the same names. It is much slower than the fused kernels for one model alone.
    """

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        for name, parameter in rnn.named_parameters():
            self.register_parameter(name, parameter)
        self.cell, self.layers, self.hidden = rnn.mode, rnn.num_layers, rnn.hidden_size
        self.bias, self.batch_first = rnn.bias, rnn.batch_first

    def forward(self, sequence: Tensor) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Return all states of the last layer [T, B, hidden], and the last state (lstm: and cell) of each layer.

        `sequence` is [T, B, I], with batch_first [B, T, I], as are the states then.
        """
        states = sequence.transpose(0, 1) if self.batch_first else sequence
        ends = []
        for layer in range(self.layers):
            states, end = self._layer(states, f"l{layer}")
            ends.append(end)
        last, cells = (torch.stack(of_layers) for of_layers in zip(*ends, strict=True))
        return states.transpose(0, 1) if self.batch_first else states, (last, cells) if self.cell == "LSTM" else last

    def _layer(self, sequence: Tensor, layer: str) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        from_input, from_state = self._weights("ih", layer), self._weights("hh", layer)
        arriving = linear(sequence, *from_input)  # [T, B, gates * hidden]
        h = c = arriving.new_zeros(*arriving.shape[1:-1], self.hidden)
        states = []
        for a in arriving.unbind():
            h, c = self._step(a, linear(h, *from_state), h, c)
            states.append(h)
        return torch.stack(states), (h, c)

    def _weights(self, kind: Literal["ih", "hh"], layer: str) -> tuple[Tensor, Tensor | None]:
        weight: Tensor = getattr(self, f"weight_{kind}_{layer}")
        return weight, getattr(self, f"bias_{kind}_{layer}") if self.bias else None

    def _step(self, a: Tensor, u: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.cell == "LSTM":
            i, f, g, o = (a + u).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        if self.cell == "GRU":
            (a_r, a_z, a_n), (u_r, u_z, u_n) = a.chunk(3, -1), u.chunk(3, -1)
            n = torch.tanh(a_n + torch.sigmoid(a_r + u_r) * u_n)
            return n + torch.sigmoid(a_z + u_z) * (h - n), c
        return (torch.tanh(a + u) if self.cell == "RNN_TANH" else torch.relu(a + u)), c


def unfuse_recurrences(module: nn.Module) -> None:
    """Put a Recurrence in the place of every recurrent layer inside of `module` that one can stand in for.

    It can not for layers that are bidirectional, project their states, or have dropout from torch's global generator.
    """
    for name, layer in list(module.named_modules(remove_duplicate=False)):
        plain = isinstance(layer, nn.RNNBase) and not (layer.bidirectional or layer.proj_size or layer.dropout)
        if name and isinstance(layer, nn.RNNBase) and plain:
            module.set_submodule(name, Recurrence(layer))
