"""Whether replicas of a model can be trained as one computation: by trying it, beside the models one by one."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from initbench.layers import seed_dropout, seed_dropout_of_stack
from initbench.training.hooks import hooked
from initbench.training.replicas import Replicas

SEEDS = (0, 1)  # of the two replicas' dropout
IMAGES = 4
STEPS = 2  # a buffer that the first step changes wrongly is seen in the second
TOLERANCE = 1e-2  # of a tensor's norm: far above rounding, far below another function


def unstackable(model: nn.Module, image_shape: Sequence[int]) -> str | None:
    """Return why replicas of `model` cannot be stacked, None where they can; `model` stays as it is.

    `image_shape` is (C, H, W). Two copies with weights of their own are sent through as a stack and one by one, in
    training twice and in evaluation: logits, gradients and buffers must agree. What vmap cannot map over, such as a
    branch on a tensor's value or a draw from torch's global generator, is told in torch's own words.
    """
    if name := hooked(model):
        return f"{name} has a hook, which would see all replicas at once"
    try:
        with torch.random.fork_rng(devices=_cuda_devices(model)):
            return _difference(model, image_shape)
    except Exception as error:  # whatever a user's module raises in a stack is the answer to the question
        return f"torch.func.vmap: {str(error).partition(chr(10))[0] or type(error).__name__}"


def _difference(model: nn.Module, image_shape: Sequence[int]) -> str | None:
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    alone = [_with_weights(model, generator) for _ in SEEDS]
    stack = Replicas(alone, device)
    images = torch.rand(len(SEEDS), IMAGES, *image_shape, generator=generator).to(device)
    for replica, seed in zip(alone, SEEDS, strict=True):
        seed_dropout(replica, seed, 1, device)
    seed_dropout_of_stack(stack.network, SEEDS, 1, device)
    for train in (*[True] * STEPS, False):
        stack.network.train(train)
        logits = stack.logits(images)
        gradients = stack.gradients(logits, torch.ones_like(logits))
        for place, replica in enumerate(alone):
            replica.train(train)
            own_logits, own_gradients = _pass(replica, images[place])
            agree = _close([logits[place]], [own_logits]) and _close([one[place] for one in gradients], own_gradients)
            if not agree:
                return f"replicas do not {'train' if train else 'predict'} in a stack as they do alone"
    twins = [copy.deepcopy(replica) for replica in alone]
    for place, (replica, twin) in enumerate(zip(alone, twins, strict=True)):
        stack.hand_back(place, twin)
        if not _close(list(twin.buffers()), list(replica.buffers())):
            return "its buffers do not change in a stack as they do alone"
    return None


def _pass(model: nn.Module, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the logits [B, classes] and the gradients of their sum."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    logits: Tensor = model(images)
    return logits, torch.autograd.grad(logits.sum(), trained, allow_unused=True, materialize_grads=True)


def _close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether tensors agree one by one, up to rounding: in those that ought to be 0 that of the others is left."""
    norms = [float(torch.linalg.vector_norm(their.detach().double())) for their in theirs]
    errors = [
        float(torch.linalg.vector_norm(our.detach().double() - their.detach().double()))
        for our, their in zip(ours, theirs, strict=True)
    ]
    rounding = TOLERANCE * TOLERANCE * math.hypot(*norms) + 1e-6
    return all(error <= TOLERANCE * norm + rounding for error, norm in zip(errors, norms, strict=True))


def _with_weights(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return a copy with trained parameters from U(-b, b), b = 1 / sqrt(fan_in): of moderate size at any depth."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.requires_grad:
                bound = 1 / math.sqrt(max(1, parameter[0].numel() if parameter.dim() > 1 else 1))
                parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
    return twin


def _cuda_devices(model: nn.Module) -> list[torch.device]:
    return [device for device in {parameter.device for parameter in model.parameters()} if device.type == "cuda"]
