"""Named random streams."""

from __future__ import annotations

import hashlib

import pytest
import torch

from initbench import seeds


def test_derive_is_the_head_of_sha256_over_the_json() -> None:
    digest = hashlib.sha256(b'[7,"init","fc1.weight"]').digest()
    assert seeds.derive(7, "init", "fc1.weight") == int.from_bytes(digest[:8], "little")


def test_same_stream_same_draws_without_touching_the_global_generator() -> None:
    before = torch.get_rng_state()
    assert torch.equal(
        torch.rand(5, generator=seeds.stream(1, "order", 2)), torch.rand(5, generator=seeds.stream(1, "order", 2))
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("other", [(2, "order", 2), (1, "init", 2), (1, "order", 3), (1, "order"), (1, "order", "2")])
def test_another_seed_purpose_or_name_is_another_stream(other: tuple[int, seeds.Purpose, str | int]) -> None:
    assert seeds.derive(1, "order", 2) != seeds.derive(*other)
    assert not torch.equal(
        torch.rand(5, generator=seeds.stream(1, "order", 2)), torch.rand(5, generator=seeds.stream(*other))
    )


def test_streams_of_many_seeds_are_all_different() -> None:
    """torch's CPU generator takes 32 bits: among 1,000 streams of one purpose a collision has a chance of 1e-4."""
    assert len({seeds.derive(seed, "init") % 2**32 for seed in range(1_000)}) == 1_000
