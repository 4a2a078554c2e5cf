"""Keras' `fit`, with validation on the test images after each epoch, as its guides write it.

On JAX, Keras' fastest backend for this network on a CPU: TensorFlow takes about twice as long.
"""

from __future__ import annotations

import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported

import keras  # type: ignore[import-untyped] # it ships no types

from rivals.recipe import BATCH, LEARNING_RATE, SIZES, Measured, Recipe, Stopwatch, arrays, floats


def train(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train with `fit`; the first epoch, on which Keras compiles, is the warm-up."""
    keras.utils.set_random_seed(recipe.seed)
    given = arrays(recipe)
    images, labels = floats(given.train_images), given.train_labels
    test = floats(given.test_images), given.test_labels
    model = network()
    clock = EpochEnds()
    watch.mark()
    found = model.fit(
        images,
        labels,
        batch_size=BATCH,
        epochs=1 + recipe.epochs,
        validation_data=test,
        callbacks=[clock],
        verbose=0,
    )
    watch.marks += [clock.ends[0], clock.ends[-1]]
    return watch.measured(recipe.epochs, found.history["val_accuracy"][-1])


def network() -> Any:
    """Return the compiled model."""
    inputs, *hidden, outputs = SIZES
    layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(outputs)])
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


class EpochEnds(keras.callbacks.Callback):  # type: ignore[misc] # it ships no types
    """Takes the time at the end of each epoch, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Take the time."""
        self.ends.append(time.monotonic())
