"""A plugin of these tests: schemes that note which run they begin, and do to some runs what is asked for.

BEGUN names a file to which each beginning of a run adds a line: scheme, seed, process. DEEDS is a JSON object: a seed's
number -> what happens to the run of the scheme `eventful` with that seed: "die", "no memory", or either "once".
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from initbench import register_scheme, seeds

SEEDS = 1_000


def _of_model(seed: int) -> int:
    """Return the seed of the stream that `initialize` gives to a scheme on the whole model."""
    first = int(torch.randint(2**62, (), generator=seeds.stream(seed, "init")))
    return seeds.derive(first, "init", "model")


SEED_OF = {_of_model(seed): seed for seed in range(SEEDS)}


@register_scheme("eventful", formula="W ~ N(0, 0.05²)", source="a test", good_for="testing", needs="a batch")
def eventful(model: nn.Module, *, generator: Generator, data: Tensor) -> None:
    """Do what is asked for of this seed, else draw from a normal distribution."""
    seed = SEED_OF[generator.initial_seed()]
    tries = _note("eventful", seed)
    deed = json.loads(os.environ.get("DEEDS", "{}")).get(str(seed), "")
    if deed.startswith("die") and (tries == 1 or not deed.endswith("once")):
        os.kill(os.getpid(), signal.SIGKILL)
    if deed.startswith("no memory") and (tries == 1 or not deed.endswith("once")):
        raise torch.OutOfMemoryError("no memory") if "torch" in deed else MemoryError("no memory")
    _draw(model, generator)


@register_scheme("calm", formula="W ~ N(0, 0.05²)", source="a test", good_for="testing", needs="a batch")
def calm(model: nn.Module, *, generator: Generator, data: Tensor) -> None:
    """Draw from a normal distribution."""
    _note("calm", SEED_OF[generator.initial_seed()])
    _draw(model, generator)


def _draw(model: nn.Module, generator: Generator) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.05, generator=generator)


def _note(scheme: str, seed: int) -> int:
    """Add a line to the list of runs that were begun; return how often this one was."""
    begun = Path(os.environ["BEGUN"])
    descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{scheme} {seed} {os.getpid()}\n".encode())  # one write: whole, whoever else writes
    os.close(descriptor)
    return sum(line.startswith(f"{scheme} {seed} ") for line in begun.read_text().splitlines())
