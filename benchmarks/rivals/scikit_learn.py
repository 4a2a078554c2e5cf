"""scikit-learn's MLPClassifier: an epoch is one `partial_fit` on all images, then `score`.

`partial_fit` is one pass in shuffled batches of `batch_size`, as an iteration of `fit` is. float32 as everybody else:
it computes in the precision of its images.
"""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier

from rivals.recipe import (
    BATCH,
    BETAS,
    EPS,
    LEARNING_RATE,
    SIZES,
    WARM_UP_STEPS,
    Measured,
    Recipe,
    Stopwatch,
    arrays,
    floats,
)


def train(recipe: Recipe, watch: Stopwatch) -> Measured:
    """Train and evaluate epoch by epoch, on as many threads as numpy's BLAS takes."""
    given = arrays(recipe)
    images, labels, test_images = floats(given.train_images), given.train_labels, floats(given.test_images)
    classes = np.arange(SIZES[-1])
    model, other = network(recipe.seed), network(recipe.seed)
    watch.mark()
    some = slice(BATCH * WARM_UP_STEPS)
    other.partial_fit(images[some], labels[some], classes=classes)
    other.score(test_images, given.test_labels)
    watch.mark()
    for _ in range(recipe.epochs):
        model.partial_fit(images, labels, classes=classes)
        accuracy = float(model.score(test_images, given.test_labels))
    return watch.measured(recipe.epochs, accuracy)


def network(seed: int) -> MLPClassifier:
    """Return the classifier, not trained."""
    return MLPClassifier(
        SIZES[1:-1],
        solver="adam",
        alpha=0,
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        beta_1=BETAS[0],
        beta_2=BETAS[1],
        epsilon=EPS,
        random_state=seed,
    )
