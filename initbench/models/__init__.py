"""Models: network architectures by name, each with its own validated options.

A new model is one new file in this folder: an options class and a decorated build function. Importing this package
does not import torch; a build function does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict

from initbench.registry import Registry, import_siblings

if TYPE_CHECKING:
    from torch import nn


class ModelOptions(BaseModel):
    """The options of one model, as a config's `model` section gives them. Each model derives its own from this."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


OptionsT = TypeVar("OptionsT", bound=ModelOptions)
Build = Callable[[OptionsT, tuple[int, int, int], int], "nn.Module"]


@dataclass(frozen=True)
class Model:
    """A registered architecture. `build(options, (channels, height, width), classes)` returns the module."""

    name: str
    options: type[ModelOptions]
    build: Callable[[Any, tuple[int, int, int], int], nn.Module]


models: Registry[Model] = Registry("model")


def register_model(name: str, options: type[OptionsT]) -> Callable[[Build[OptionsT]], Build[OptionsT]]:
    """Register the decorated build function as model `name`, whose config section is validated by `options`.

    The module that it returns maps images [B, C, H, W] in [0, 1] to logits [B, classes].
    """

    def decorate(build: Build[OptionsT]) -> Build[OptionsT]:
        models.add(name, Model(name, options, build))
        return build

    return decorate


import_siblings(__name__, list(__path__))
