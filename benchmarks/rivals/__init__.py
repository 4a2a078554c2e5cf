"""Who takes part in benchmarks/throughput.py: each trains the default recipe, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

REPLICAS = 8  # trained as one by those who can
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Contestant:
    """A row of the table: `entry` is the module in this package and the function in it, called with `options`."""

    title: str
    workers: str
    entry: str
    options: Mapping[str, int | str] = field(default_factory=dict)
    package: str = "torch"
    precision: Precision = "float32"


ONE, DEFAULT, TWO = "1 thread", f"{CORES} threads", "2 processes"
CONTESTANTS: Mapping[str, Contestant] = {
    "tutorial": Contestant("torch, the tutorial loop (DataLoader)", DEFAULT, "tutorial:train"),
    "memory": Contestant("torch by hand, in memory, fused Adam", DEFAULT, "in_memory:train"),
    "memory-1": Contestant("torch by hand, in memory, fused Adam", ONE, "in_memory:train", {"threads": 1}),
    "keras": Contestant("Keras fit, on JAX", DEFAULT, "keras_fit:train", package="keras"),
    "sklearn": Contestant("scikit-learn MLPClassifier", DEFAULT, "scikit_learn:train", package="sklearn"),
    "jax": Contestant("JAX, jit + scan", DEFAULT, "jax_scan:one", package="jax"),
    "jax-vmap": Contestant(f"JAX, vmap over {REPLICAS} replicas", DEFAULT, "jax_scan:vmapped", package="jax"),
    "jax-devices": Contestant(
        f"JAX, {REPLICAS} replicas, a CPU device a core", DEFAULT, "jax_scan:on_devices", package="jax"
    ),
    "initbench": Contestant("initbench, sequential", ONE, "own:sequential"),
    "initbench-bf16": Contestant(
        "initbench, sequential, bfloat16", ONE, "own:sequential", {"precision": "bfloat16"}, precision="bfloat16"
    ),
    "stacked": Contestant(f"initbench, {REPLICAS} replicas stacked", ONE, "own:stacked"),
    "compare-1": Contestant("initbench compare -j 1, training", ONE, "own_compare:training", {"jobs": 1}),
    "compare-2": Contestant("initbench compare -j 2, training", TWO, "own_compare:training", {"jobs": 2}),
    "command-1": Contestant("initbench compare -j 1, all of it", ONE, "own_compare:command", {"jobs": 1}),
    "command-2": Contestant("initbench compare -j 2, all of it", TWO, "own_compare:command", {"jobs": 2}),
    "products-1": Contestant("the matrix products alone", ONE, "products:one"),
    "products-2": Contestant("the matrix products alone", TWO, "products:two"),
    "products-1-bf16": Contestant(
        "the products alone, bfloat16", ONE, "products:one", {"precision": "bfloat16"}, precision="bfloat16"
    ),
    "products-2-bf16": Contestant(
        "the products alone, bfloat16", TWO, "products:two", {"precision": "bfloat16"}, precision="bfloat16"
    ),
}
