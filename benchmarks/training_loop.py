"""What a replica-epoch costs: initbench's training loop beside a hand-written one with fused Adam, in one run.

Both train 784-256-256-10 on MNIST (batch 100, Adam 1e-3, one thread) and evaluate on the test set after each epoch.
The rounds are interleaved, A B A B ..., so that the machine's drift hits both alike; the ratio is taken round by round.
The clock excludes loading, building and initializing. Usage: python benchmarks/training_loop.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from initbench import make_config
from initbench.data import Dataset
from initbench.environment import cpu_model
from initbench.events import ignore
from initbench.initial import build_model, initialize_model
from initbench.threads import torch_threads
from initbench.training import train
from initbench.work import load_dataset

CONFIG = make_config({"train": {"epochs": 1}, "data": {"fallback": "none"}})


def initialized_model(dataset: Dataset) -> nn.Module:
    """Return the default model at its starting values."""
    model = build_model(CONFIG, dataset)
    initialize_model(model, CONFIG, dataset)
    return model


def hand_written_epoch(model: nn.Module, train_set: tuple[Tensor, Tensor], test_set: tuple[Tensor, Tensor]) -> float:
    """Return the seconds of one epoch of the loop that one would write by hand: float32 in memory, fused Adam."""
    (images, labels), (test_images, test_labels) = train_set, test_set
    started = time.perf_counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    order = torch.randperm(len(images))
    for first in range(0, len(images), 100):
        index = order[first : first + 100]
        loss = cross_entropy(model(images.index_select(0, index)), labels.index_select(0, index))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        (model(test_images).argmax(1) == test_labels).float().mean().item()
    return time.perf_counter() - started


def initbench_epoch(model: nn.Module, dataset: Dataset) -> float:
    """Return the seconds of one epoch of initbench's loop, building the optimizer included as in the other."""
    started = time.perf_counter()
    train(model, dataset, CONFIG, lambda row: None)
    return time.perf_counter() - started


def report(rounds: int) -> str:
    """Return the seconds of both loops, and their ratio, as medians over the rounds."""
    dataset = load_dataset(CONFIG, None, torch.device("cpu"), ignore)
    train_set = dataset.train_images.float() / 255, dataset.train_labels
    test_set = dataset.test_images.float() / 255, dataset.test_labels
    ours, by_hand = [], []
    with torch_threads(1):
        for _ in range(rounds + 1):
            by_hand.append(hand_written_epoch(initialized_model(dataset), train_set, test_set))
            ours.append(initbench_epoch(initialized_model(dataset), dataset))
    ours, by_hand = ours[1:], by_hand[1:]  # the first round warms up
    ratios = [a / b for a, b in zip(ours, by_hand, strict=True)]
    lines = [
        f"{cpu_model()}, Python {platform.python_version()}, torch {torch.__version__}, 1 thread, n={rounds} rounds"
    ]
    for name, values in (("hand-written, s/epoch", by_hand), ("initbench, s/epoch", ours), ("ratio", ratios)):
        lines.append(f"{name:24} median {statistics.median(values):.3f}  min {min(values):.3f}  max {max(values):.3f}")
    return "\n".join(lines)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="initbench's training loop beside a hand-written one")
    parser.add_argument("--rounds", type=int, default=9)
    print(report(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
