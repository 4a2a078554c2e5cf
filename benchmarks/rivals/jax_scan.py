"""JAX: an epoch and its evaluation as one compiled function, the steps in a `lax.scan`; one replica, or eight.

The images stay on the device as bytes and are gathered inside of the scan, which was the fastest of what was tried
(float32 images, gathering before the scan, permutations drawn by JAX); the weights' buffers are donated, and two steps
are unrolled where that helps. Compilation is ahead of time, and apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rivals import CORES, REPLICAS
from rivals.recipe import BATCH, BETAS, EPS, LEARNING_RATE, SIZES, Arrays, Measured, Recipe, Stopwatch, arrays

Layers = list[tuple[Array, Array]]  # weights [I,O] and biases [O]


class State(NamedTuple):
    """What a training carries from step to step: weights, Adam's two averages, the number of steps."""

    layers: Layers
    means: Layers
    squares: Layers
    steps: Array


Epoch = Callable[[State, Array, Arrays], tuple[State, Array]]  # given orders of the images; returns the accuracy


def one(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train one replica, on all cores."""
    given = jax.device_put(arrays(recipe))
    state = jax.jit(start)(jax.random.key(recipe.seed))
    rng = np.random.default_rng(recipe.seed)
    return _trained(partial(epoch, unroll=2), state, given, lambda: jnp.asarray(order(rng, given)), recipe, watch)


def vmapped(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train the replicas as one, by `vmap`: each with its own weights and order of the images."""
    given = jax.device_put(arrays(recipe))
    state = jax.jit(jax.vmap(start))(jax.random.split(jax.random.key(recipe.seed), REPLICAS))
    rng = np.random.default_rng(recipe.seed)
    together = jax.vmap(epoch, in_axes=(0, 0, None))
    return _trained(together, state, given, lambda: jnp.asarray(orders(rng, given)), recipe, watch)


def on_devices(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train the replicas on as many CPU devices as there are cores, those of a device one after the other."""
    devices = max(count for count in range(1, min(CORES, REPLICAS) + 1) if REPLICAS % count == 0)
    jax.config.update("jax_num_cpu_devices", devices)  # type: ignore[no-untyped-call] # of the library
    mesh = Mesh(np.array(jax.devices()), ("replica",))
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["replica"], []))  # type: ignore[no-untyped-call]
    given = jax.device_put(arrays(recipe), whole)
    state = jax.vmap(start)(jax.random.split(jax.random.key(recipe.seed), REPLICAS))
    rng = np.random.default_rng(recipe.seed)
    spread = jax.shard_map(
        lambda states, orders, given: lax.map(lambda own: epoch(own[0], own[1], given), (states, orders)),
        mesh=mesh,
        in_specs=(split.spec, split.spec, whole.spec),
        out_specs=split.spec,
    )
    state = jax.device_put(state, split)
    return _trained(spread, state, given, lambda: jax.device_put(orders(rng, given), split), recipe, watch)


def _trained(
    run: Epoch, state: State, given: Arrays, next_orders: Callable[[], Array], recipe: Recipe, watch: Stopwatch
) -> Measured:
    """Compile, warm up by one epoch of a copy, and train."""
    watch.mark()
    compiled: Epoch = jax.jit(run, donate_argnums=0).lower(state, next_orders(), given).compile()
    compiled(jax.tree.map(jnp.copy, state), next_orders(), given)[1].block_until_ready()
    watch.mark()
    for _ in range(recipe.epochs):
        state, accuracy = compiled(state, next_orders(), given)
    accuracy.block_until_ready()  # it depends on the last state
    return watch.measured(recipe.epochs * accuracy.size, float(accuracy.min()))


def order(rng: np.random.Generator, given: Arrays) -> npt.NDArray[np.int32]:
    """Return the images' numbers in random order, batch by batch [S, B]."""
    return rng.permutation(len(given.train_labels)).reshape(-1, BATCH).astype(np.int32)


def orders(rng: np.random.Generator, given: Arrays) -> npt.NDArray[np.int32]:
    """Return an order for each replica [R, S, B]."""
    return np.stack([order(rng, given) for _ in range(REPLICAS)])


def start(key: Array) -> State:
    """Return Xavier's weights, biases 0, averages 0."""
    keys = jax.random.split(key, len(SIZES) - 1)
    draw = jax.nn.initializers.glorot_uniform()
    shapes = zip(keys, SIZES[:-1], SIZES[1:], strict=True)
    layers = [(draw(one, (inputs, outputs)), jnp.zeros(outputs)) for one, inputs, outputs in shapes]
    return State(layers, jax.tree.map(jnp.zeros_like, layers), jax.tree.map(jnp.zeros_like, layers), jnp.zeros(()))


def epoch(state: State, order: Array, given: Arrays, unroll: int = 1) -> tuple[State, Array]:
    """Take a step per row of `order` [S, B]; return the state and the accuracy on the test images."""

    def step(before: State, index: Array) -> tuple[State, None]:
        images = jnp.asarray(given.train_images)[index]
        labels = jnp.asarray(given.train_labels)[index]
        return adam(before, jax.grad(loss)(before.layers, pixels(images), labels)), None

    state, _ = lax.scan(step, state, order, unroll=unroll)
    found = logits(state.layers, pixels(jnp.asarray(given.test_images))).argmax(1)
    return state, (found == given.test_labels).mean()


def pixels(images: Array) -> Array:
    """Return bytes as float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255


def logits(layers: Layers, x: Array) -> Array:
    """Return the network's output [B, 10] for images [B, 784]."""
    *hidden, (weight, bias) = layers
    for one_weight, one_bias in hidden:
        x = jax.nn.relu(x @ one_weight + one_bias)
    return x @ weight + bias


def loss(layers: Layers, images: Array, labels: Array) -> Array:
    """Return the mean cross entropy."""
    log_shares = jax.nn.log_softmax(logits(layers, images))
    return -jnp.take_along_axis(log_shares, labels[:, None], axis=1).mean()


def adam(state: State, gradients: Layers) -> State:
    """Take one step of Adam (Kingma & Ba 2015, algorithm 1)."""
    steps = state.steps + 1
    first, second = BETAS
    means = jax.tree.map(lambda m, g: first * m + (1 - first) * g, state.means, gradients)
    squares = jax.tree.map(lambda v, g: second * v + (1 - second) * g * g, state.squares, gradients)
    rate = LEARNING_RATE / (1 - first**steps)
    root = jnp.sqrt(1 - second**steps)

    def moved(weight: Any, mean: Any, square: Any) -> Any:
        return weight - rate * mean / (jnp.sqrt(square) / root + EPS)

    return State(jax.tree.map(moved, state.layers, means, squares), means, squares, steps)
