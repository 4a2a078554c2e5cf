"""Whether somebody waits on the passes through a module: then it must be called as it is, by itself."""

from __future__ import annotations

from torch import nn


def hooked(model: nn.Module) -> str | None:
    """Return the name of the first module or parameter with a hook, or with a `forward` of its own; None for none."""
    for name, module in model.named_modules():
        kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        if any(kinds) or "forward" in vars(module):
            return name or "the model"
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            return name
    return None
