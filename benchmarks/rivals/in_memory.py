"""The loop that one would write by hand for speed: all images in memory as float32, batches by index, fused Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rivals.recipe import BATCH, LEARNING_RATE, SIZES, WARM_UP_STEPS, Measured, Recipe, Stopwatch, arrays, floats


def train(recipe: Recipe, watch: Stopwatch, threads: int | None = None) -> Measured:
    """Train and evaluate epoch by epoch, on so many threads; None: as many as torch takes."""
    torch.manual_seed(recipe.seed)
    if threads is not None:
        torch.set_num_threads(threads)
    given = arrays(recipe)
    images, test_images = torch.from_numpy(floats(given.train_images)), torch.from_numpy(floats(given.test_images))
    labels, test_labels = torch.from_numpy(given.train_labels), torch.from_numpy(given.test_labels)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    watch.mark()
    warm_up(images, labels)
    watch.mark()
    for _ in range(recipe.epochs):
        train_epoch(model, optimizer, images, labels)
        accuracy = test(model, test_images, test_labels)
    return watch.measured(recipe.epochs, accuracy)


def network() -> nn.Sequential:
    """Return 784-256-256-10 with ReLU."""
    inputs, *hidden, outputs = SIZES
    return nn.Sequential(
        nn.Linear(inputs, hidden[0]),
        nn.ReLU(),
        nn.Linear(hidden[0], hidden[1]),
        nn.ReLU(),
        nn.Linear(hidden[1], outputs),
    )


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    """Take a step per batch of images [N, 784] and labels [N], in random order."""
    model.train()
    for index in torch.split(torch.randperm(len(images)), BATCH):
        loss = cross_entropy(model(images.index_select(0, index)), labels.index_select(0, index))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def test(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of the images [M, 784] that are classified rightly."""
    model.eval()
    with torch.inference_mode():
        return float((model(images).argmax(1) == labels).float().mean())


def warm_up(images: Tensor, labels: Tensor) -> None:
    """Train another network for a few steps and evaluate it."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    train_epoch(model, optimizer, images[: BATCH * WARM_UP_STEPS], labels[: BATCH * WARM_UP_STEPS])
    test(model, images, labels)
