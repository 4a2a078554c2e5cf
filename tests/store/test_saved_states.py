"""What is unfinished is kept whole or not at all, and nothing damaged or foreign is gone on with."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from initbench.errors import StoreError
from initbench.results import Divergence, UnfinishedRun, UnfinishedTask
from initbench.store import Store, Unfinished
from initbench.store.unfinished import FOLDER, unfinished_tasks

RUN = UnfinishedRun(
    run_id="0123456789abcdef", identity={"torch": "2"}, scheme="he_uniform", seed=3, parameters=7, init_s=0.5,
    train_s=2.5, metrics='{"phase": "training"}\n',
)  # fmt: skip
TASK = UnfinishedTask(epoch=4, epochs=9, steps=40, ended={1: Divergence(epoch=2, step=3)}, runs=(RUN, RUN))
LISTED = TASK.model_copy(update={"runs": (RUN.model_copy(update={"metrics": ""}),) * 2})  # rows are not read for a list
TENSORS = {
    "model.w": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "model.strided": torch.arange(6.0).view(2, 3).T,
    "model.count": torch.tensor(5),
    "model.half": torch.tensor([1.5, -2.5], dtype=torch.bfloat16),
    "model.none": torch.zeros(0, 4),
    "optimizer.0.0.0": torch.tensor([float("nan"), float("inf"), -0.0]),
}
NAME = RUN.run_id


@pytest.fixture
def place(tmp_path: Path) -> Unfinished:
    for folder in (FOLDER, "scratch"):
        (tmp_path / folder).mkdir()
    return Unfinished(tmp_path, tmp_path / "scratch")


def file_of(place: Unfinished) -> Path:
    return place.root / FOLDER / f"{NAME}.safetensors"


def test_it_comes_back_as_it_was_to_the_bit(place: Unfinished) -> None:
    place.save(NAME, TASK, TENSORS)
    found = place.load(NAME)
    assert found is not None
    task, tensors = found
    assert task == TASK
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert tensors[name].contiguous().view(-1).view(torch.uint8).tolist() == (
            tensor.contiguous().view(-1).view(torch.uint8).tolist()
        )
    assert unfinished_tasks(place.root) == {NAME: LISTED}
    place.remove(NAME)
    place.remove(NAME)
    assert place.load(NAME) is None
    assert list(place.scratch.iterdir()) == []


def test_it_holds_what_was_given_not_what_became_of_it(place: Unfinished) -> None:
    tensor = torch.ones(4)
    place.save(NAME, TASK, {"w": tensor, "same memory": tensor.view(2, 2)})
    tensor.zero_()
    found = place.load(NAME)
    assert found is not None
    assert found[1]["w"].tolist() == [1.0] * 4


def test_every_flipped_bit_and_every_cut_is_noticed(place: Unfinished) -> None:
    """A bit of each byte of the whole file: its length, its header, its tensors."""
    place.save(NAME, TASK, {"w": torch.arange(6.0), "v": torch.arange(3)})
    whole = file_of(place).read_bytes()
    for at in range(len(whole)):
        file_of(place).write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            found = place.load(NAME)
        except StoreError as error:
            assert NAME in str(error)  # noqa: PT017 - the other way out is below
            continue
        assert found is not None  # a space of the JSON became another white space, or the like: the same content
        assert found[0] == TASK
        assert {name: tensor.tolist() for name, tensor in found[1].items()} == {
            "w": [0, 1, 2, 3, 4, 5],
            "v": [0, 1, 2],
        }
    for length in (*range(0, len(whole), 97), len(whole) - 1):
        file_of(place).write_bytes(whole[:length])
        with pytest.raises(StoreError):
            place.load(NAME)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04.",
        struct.pack("<Q", 2**63) + b"{}",
        save({"w": torch.zeros(2)}),
        save({"w": torch.zeros(2)}, {"task": "{", "sha256": ""}),
        save({"w": torch.zeros(2)}, {"task": "[" * 100_000, "sha256": ""}),
        save({"w": torch.zeros(2)}, {"task": TASK.model_dump_json(), "sha256": "0" * 64}),
        save({"w": torch.zeros(2)}, {"task": TASK.model_dump_json()}),
        save({"w": torch.zeros(2)}, {"task": json.dumps(TASK.model_dump(mode="json") | {"schema_version": 9})}),
    ],
    ids=["empty", "pickle", "length", "no task", "cut task", "deep", "other checksum", "no checksum", "other version"],
)
def test_files_of_another_making_are_refused_and_do_no_harm(place: Unfinished, content: bytes) -> None:
    file_of(place).write_bytes(content)
    with pytest.raises(StoreError):
        place.load(NAME)
    assert set(unfinished_tasks(place.root)) <= {NAME}


def test_links_and_pipes_are_not_followed(place: Unfinished, tmp_path: Path) -> None:
    place.save(NAME, TASK, TENSORS)
    file_of(place).rename(tmp_path / "elsewhere")
    file_of(place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        place.load(NAME)
    file_of(place).unlink()
    os.mkfifo(file_of(place))
    with pytest.raises(StoreError):
        place.load(NAME)
    assert unfinished_tasks(place.root) == {}


def test_a_disk_that_refuses_leaves_what_was_there(place: Unfinished, monkeypatch: pytest.MonkeyPatch) -> None:
    place.save(NAME, TASK, TENSORS)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space"):
        place.save(NAME, TASK.model_copy(update={"epoch": 5}), TENSORS)
    assert list(place.scratch.iterdir()) == []
    assert unfinished_tasks(place.root) == {NAME: LISTED}


def test_a_machine_that_does_not_see_the_folder_says_so(place: Unfinished) -> None:
    assert place.reachable
    assert not Unfinished(place.root, place.root / "other machine's").reachable


def test_a_store_does_not_list_what_is_finished_in_the_meantime(tmp_path: Path) -> None:
    from store.test_store import ID, result  # the builder of a finished run

    store = Store(tmp_path)
    with store.stay() as stay:
        stay.unfinished.save(NAME, TASK.model_copy(update={"runs": (RUN,)}), TENSORS)
        stay.unfinished.save(
            "other", TASK.model_copy(update={"runs": (RUN.model_copy(update={"run_id": "f" * 16}),)}), {}
        )
    assert set(store.unfinished()) == {NAME, "other"}
    store.keep(f"he-seed0-{ID}", result(), {})
    assert set(store.unfinished()) == {"other"}
    with store.stay():
        assert set(unfinished_tasks(tmp_path)) == {"other"}  # swept
