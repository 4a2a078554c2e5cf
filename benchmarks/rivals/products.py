"""The limit: the matrix products of an epoch and of its evaluation, and nothing else, by torch on one thread.

Of each of the steps: forward, gradients of the weights, gradients of the inputs (not of the first layer's), between
matrices that stay where they are; of the evaluation the forward products.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor

from rivals.recipe import BATCH, EVALUATED_AT_ONCE, SIZES, Measured, Recipe, Stopwatch, arrays

REPEATS = 2  # epochs, for each that others train: they are short
LAYERS = range(len(SIZES) - 1)


def one(recipe: Recipe, watch: Stopwatch, precision: str = "float32") -> Measured:
    """Measure one process."""
    products = Products(recipe, precision)
    watch.mark()
    products.epoch()
    watch.mark()
    epochs = REPEATS * recipe.epochs
    for _ in range(epochs):
        products.epoch()
    return watch.measured(epochs, None)


def two(recipe: Recipe, watch: Stopwatch, precision: str = "float32") -> Measured:
    """Measure two processes at once: the sum of what both do in a second."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_half, args=(recipe, precision, barrier, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    seconds = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    epochs = REPEATS * recipe.epochs
    return Measured(2 * epochs, 2 / sum(1 / one for one in seconds), None)


def _half(recipe: Recipe, precision: str, barrier: Barrier, queue: multiprocessing.Queue[float]) -> None:
    products = Products(recipe, precision)
    products.epoch()
    barrier.wait()
    begun = time.monotonic()
    for _ in range(REPEATS * recipe.epochs):
        products.epoch()
    queue.put(time.monotonic() - begun)


class Products:
    """The matrices of a network and of a batch."""

    def __init__(self, recipe: Recipe, precision: str) -> None:
        torch.set_num_threads(1)
        given = arrays(recipe)
        self.steps, images = len(given.train_labels) // BATCH, len(given.test_labels)
        self.chunks = [min(EVALUATED_AT_ONCE, images - first) for first in range(0, images, EVALUATED_AT_ONCE)]
        generator, dtype = torch.Generator().manual_seed(recipe.seed), getattr(torch, precision)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(dtype)

        self.weights = [drawn(SIZES[layer + 1], SIZES[layer]) for layer in LAYERS]  # [O,I]
        self.values = [drawn(BATCH, size) for size in SIZES]  # [B,I]: activations, and their gradients
        self.tested = [drawn(max(self.chunks), size) for size in SIZES]
        self.found = [torch.empty_like(value) for value in self.values]
        self.found_tested = [torch.empty_like(value) for value in self.tested]
        self.gradients = [torch.empty_like(weight) for weight in self.weights]

    @torch.inference_mode()
    def epoch(self) -> None:
        """Multiply what one epoch and its evaluation multiply."""
        for _ in range(self.steps):
            self.forward(self.values, self.found)
            self.backward()
        for size in self.chunks:
            self.forward([value[:size] for value in self.tested], [found[:size] for found in self.found_tested])

    def forward(self, values: list[Tensor], found: list[Tensor]) -> None:
        """Multiply activations by weights, [B,I] x [O,I] -> [B,O]."""
        for layer in LAYERS:
            torch.mm(values[layer], self.weights[layer].t(), out=found[layer + 1])

    def backward(self) -> None:
        """Multiply gradients by activations, [B,O] x [B,I] -> [O,I], and by weights, [B,O] x [O,I] -> [B,I]."""
        for layer in reversed(LAYERS):
            torch.mm(self.values[layer + 1].t(), self.values[layer], out=self.gradients[layer])
            if layer:
                torch.mm(self.values[layer + 1], self.weights[layer], out=self.found[layer])
