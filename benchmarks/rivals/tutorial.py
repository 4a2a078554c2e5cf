"""The loop of the tutorials: torchvision's MNIST, ToTensor, DataLoader, cross entropy, Adam; torch's own threads."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from rivals.in_memory import network
from rivals.recipe import BATCH, LEARNING_RATE, WARM_UP_STEPS, Measured, Recipe, Stopwatch

TEST_BATCH = 1_000  # as in PyTorch's own MNIST example

Loader = DataLoader[tuple[Tensor, Tensor]]


def train(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train and evaluate epoch by epoch."""
    torch.manual_seed(recipe.seed)
    train_loader, test_loader = loaders(recipe.folder)
    model = network()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    watch.mark()
    warm_up(train_loader)
    watch.mark()
    for _ in range(recipe.epochs):
        train_epoch(model, train_loader, criterion, optimizer)
        accuracy = test(model, test_loader)
    return watch.measured(recipe.epochs, accuracy)


def loaders(folder: str) -> tuple[Loader, Loader]:
    """Return the batches of the training and of the test images."""
    train_set = datasets.MNIST(folder, train=True, transform=transforms.ToTensor())
    test_set = datasets.MNIST(folder, train=False, transform=transforms.ToTensor())
    return DataLoader(train_set, batch_size=BATCH, shuffle=True, drop_last=True), DataLoader(test_set, TEST_BATCH)


def train_epoch(model: nn.Module, loader: Loader, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Take a step per batch and return the mean loss."""
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images.view(-1, 784)), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def test(model: nn.Module, loader: Loader) -> float:
    """Return the share of the test images that are classified rightly."""
    model.eval()
    correct, seen = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            correct += int((model(images.view(-1, 784)).argmax(1) == labels).sum())
            seen += len(labels)
    return correct / seen


def warm_up(loader: Loader) -> None:
    """Train another network for a few steps: what torch imports and allocates then belongs to no epoch."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for images, labels in itertools.islice(loader, WARM_UP_STEPS):
        loss = nn.functional.cross_entropy(model(images.view(-1, 784)), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
