"""Stratified subsets and the digits split: exact sizes, classes in proportion, the same draw each time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hypothesis import given
from hypothesis import strategies as st

from initbench.data import load
from initbench.data.sources.digits import Digits, enlarge
from initbench.data.subset import quotas, stratified


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([5, 3, 2], 5, [3, 1, 1]),  # shares 2.5, 1.5, 1: the tie goes to the lower class
        ([1, 1, 8], 5, [1, 0, 4]),  # shares .5, .5, 4
        ([7, 0, 3], 4, [3, 0, 1]),  # shares 2.8, 0, 1.2
        ([10, 10], 1, [1, 0]),
    ],
)
def test_quotas_by_largest_remainder(counts: list[int], size: int, expected: list[int]) -> None:
    assert quotas(torch.tensor(counts), size).tolist() == expected


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_stratified_is_exact_and_proportional(values: list[int], size: int, seed: int) -> None:
    labels = torch.tensor(values)
    chosen = stratified(labels, size, generator=generator(seed))
    assert len(chosen) == min(size, len(values))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    for label in set(values):
        share = len(chosen) * values.count(label) / len(values)
        assert abs(int((labels[chosen] == label).sum()) - share) < 1


def test_same_seed_same_subset_other_seed_other_subset() -> None:
    labels = torch.arange(1000) % 10
    first, again, other = (stratified(labels, 100, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_digits_are_split_80_to_20_within_each_class() -> None:
    data = load("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1438, 359)  # 359 = round(1797 / 5)
    train, test = data.train_labels.bincount(), data.test_labels.bincount()
    assert (test - (train + test) * 359 / 1797).abs().max() < 1


def test_digits_are_all_there_once() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    expected = enlarge(torch.from_numpy(pixels).long().view(-1, 8, 8))
    images = Digits().read()
    together = torch.cat([images.train_images, images.test_images])
    targets = torch.cat([images.train_labels, images.test_labels])
    assert sorted(zip(map(bytes, together.flatten(1).numpy()), targets.tolist(), strict=True)) == sorted(
        zip(map(bytes, expected.flatten(1).numpy()), labels.tolist(), strict=True)
    )


def test_enlargement_is_torchs_bilinear_rounded() -> None:
    images = torch.randint(0, 17, (50, 8, 8), generator=generator(3))
    exact = F.interpolate(images.unsqueeze(1).double(), size=28, mode="bilinear", align_corners=False) * 255 / 16
    assert (enlarge(images) - exact).abs().max() <= 0.5 + 1e-9


@pytest.mark.parametrize("level", [0, 16])
def test_enlargement_keeps_the_ends_of_the_range(level: int) -> None:
    assert enlarge(torch.full((1, 8, 8), level)).unique().tolist() == [level * 255 // 16]


@pytest.mark.mnist
def test_limited_mnist_is_stratified(real_root: object) -> None:
    data = load("mnist", data_dir=real_root, limit=1000, fallback="none")  # type: ignore[arg-type]
    # class shares of the 60,000: 5923 zeros, 6742 ones, ... (counts in the labels file)
    assert (len(data.train_labels), len(data.test_labels)) == (1000, 1000)
    whole = load("mnist", data_dir=real_root, fallback="none")  # type: ignore[arg-type]
    share = whole.train_labels.bincount() / 60
    assert (data.train_labels.bincount() - share).abs().max() < 1
