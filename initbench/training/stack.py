"""A stack of replicas, ready to be trained: their tensors, their learning rates, and what they go on from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initbench.config import Config, TrainConfig
from initbench.data import Dataset
from initbench.results import Divergence
from initbench.training.epochs import steps_per_epoch
from initbench.training.optimizers import Optimizer, build_optimizer
from initbench.training.pixels import Pixels
from initbench.training.replicas import Replicas
from initbench.training.state import TrainingState, model_tensors, optimizer_tensors, restore, tensors_of


@dataclass(frozen=True)
class SameRate:
    """The replicas `which`, side by side in the stack, that have the learning rate of `config`."""

    which: slice
    config: TrainConfig
    optimizer: Optimizer


@dataclass(frozen=True)
class Stack:
    """Everything that one step touches."""

    replicas: Replicas
    rates: list[SameRate]
    config: Config  # of the first replica; what differs between them is not looked at here
    seeds: list[int]  # [R]
    of_replica: Tensor  # [R], the place of each replica's seed among the distinct ones
    dataset: Dataset
    pixels: Pixels
    steps: int  # in the whole training

    @property
    def distinct_seeds(self) -> list[int]:
        """The seeds, each once."""
        return list(dict.fromkeys(self.seeds))

    @property
    def optimizers(self) -> list[Optimizer]:
        """One for each learning rate."""
        return [same.optimizer for same in self.rates]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that training changes, by the names it has in a state."""
        return model_tensors(self.replicas.tensors) | optimizer_tensors(self.optimizers)


def build_stack(models: Sequence[nn.Module], dataset: Dataset, configs: Sequence[Config]) -> Stack:
    """Return the models, whose learning rates are in order, ready for the first epoch."""
    config, device = configs[0], dataset.train_labels.device
    seeds = [one.seed for one in configs]
    distinct = list(dict.fromkeys(seeds))
    pixels = Pixels(dataset.train_images)
    replicas = Replicas(models, device)
    two = pixels.at(torch.arange(min(2, len(dataset.train_labels)), device=device))
    replicas.lay_out(two.expand(len(models), *two.shape))
    return Stack(
        replicas=replicas,
        rates=list(_same_rates(replicas.parameters, configs)),
        config=config,
        seeds=seeds,
        of_replica=torch.tensor([distinct.index(seed) for seed in seeds], device=device),
        dataset=dataset,
        pixels=pixels,
        steps=config.train.epochs
        * steps_per_epoch(len(dataset.train_labels), config.data.batch_size, config.data.drop_last),
    )


def _same_rates(parameters: Sequence[Tensor], configs: Sequence[Config]) -> Iterator[SameRate]:
    first = 0
    for _, group in itertools.groupby(configs, key=lambda config: config.train.lr):
        same = list(group)
        which = slice(first, first + len(same))
        optimizer = build_optimizer(same[0].train, [parameter[which] for parameter in parameters])
        yield SameRate(which, same[0].train, optimizer)
        first += len(same)


def state_of(epoch: int, stack: Stack, models: Sequence[nn.Module], ends: Mapping[int, Divergence]) -> TrainingState:
    """Return what the stack goes on from: its own tensors, and the models of the replicas that diverged."""
    tensors = stack.tensors() | _ended_tensors(models, ends)
    return TrainingState(epoch, stack.optimizers[0].steps, tensors, dict(ends))


def restore_stack(state: TrainingState, stack: Stack, models: Sequence[nn.Module]) -> None:
    """Give the stack, and the models of the replicas that diverged, the values of the state.

    Raises StateError where it is the state of another stack.
    """
    per_epoch = stack.steps // stack.config.train.epochs
    restore(state, stack.tensors() | _ended_tensors(models, state.ended), stack.optimizers, per_epoch)
    for place in state.ended:
        models[place].eval()


def _ended_tensors(models: Sequence[nn.Module], ends: Iterable[int]) -> dict[str, Tensor]:
    """Return the tensors of the models that have their weights back, by their names in a state."""
    return {
        f"ended.{place}.{name}": tensor
        for place in ends
        for name, tensor in model_tensors(tensors_of(models[place])).items()
    }
