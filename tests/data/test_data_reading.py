"""Reading from disk: archives and extracted files are verified each time, and a bad one is never used."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from data_mirror import Tiny, images_idx, labels_idx

from initbench.data import Images, load, stored
from initbench.data.idx import shape_of, to_tensor
from initbench.data.idx_family import NAMES, IdxFamily, idx_files
from initbench.errors import DataError


def same(a: Images, b: Images) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def listing(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*")}


@pytest.mark.parametrize("form", ["archives", "extracted"])
def test_reads_what_the_bytes_say(form: str, tiny: Tiny, tmp_path: Path) -> None:
    folder = getattr(tiny, f"put_{form}")(tmp_path)
    assert tiny.family.find([tmp_path / "empty", tmp_path]) == folder
    images = tiny.family.read([tmp_path])
    assert images is not None
    assert images.train_images.shape == (40, 1, 28, 28)
    assert images.train_images.dtype == torch.uint8
    assert images.test_images.numpy().tobytes() == tiny.raw["t10k-images-idx3-ubyte"][16:]
    assert images.train_labels.tolist() == [i % 10 for i in range(40)]
    assert images.test_labels.dtype == torch.int64


def test_root_may_be_the_folder_that_path_prints(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.put_archives(tmp_path)
    assert tiny.family.find([folder]) == folder


@pytest.mark.parametrize("form", ["archives", "extracted"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "appended"])
def test_damaged_file_is_set_aside_and_named(form: str, damage: str, tiny: Tiny, tmp_path: Path) -> None:
    folder = getattr(tiny, f"put_{form}")(tmp_path)
    path = folder / ("train-images-idx3-ubyte" + (".gz" if form == "archives" else ""))
    good = path.read_bytes()
    flipped = good[:5000] + bytes([good[5000] ^ 4]) + good[5001:]
    bad = {"flipped": flipped, "truncated": good[:-1], "empty": b"", "appended": good + b"\0"}[damage]
    path.write_bytes(bad)
    messages: list[str] = []
    assert tiny.family.read([tmp_path], messages.append) is None
    assert not path.exists()
    assert path.with_name(f"{path.name}.bad").read_bytes() == bad
    assert len(messages) == 1
    assert str(path) in messages[0]


def test_archive_beside_a_bad_extracted_file_is_used(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.put_archives(tmp_path)
    tiny.put_extracted(tmp_path)
    (folder / NAMES[0]).write_bytes(tiny.raw[NAMES[0]][:-1] + b"?")
    images = tiny.family.read([tmp_path])
    assert images is not None
    assert images.train_images.numpy().tobytes() == tiny.raw[NAMES[0]][16:]
    assert (folder / f"{NAMES[0]}.bad").exists()


def test_read_only_root_is_read_and_its_bad_file_passed_over(tiny: Tiny, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    folder = tiny.put_archives(broken)
    (folder / f"{NAMES[0]}.gz").write_bytes(b"bad")
    read_only = [folder, tiny.put_archives(whole)]
    for path in read_only:
        path.chmod(0o555)
    before = listing(tmp_path)
    messages: list[str] = []
    try:
        assert tiny.family.read([broken, whole], messages.append) is not None
    finally:
        for path in read_only:
            path.chmod(0o755)
    assert listing(tmp_path) == before
    assert len(messages) == 1
    assert "read-only" in messages[0]
    assert str(folder / f"{NAMES[0]}.gz") in messages[0]


def test_extracted_file_without_a_published_hash_is_not_trusted(tiny: Tiny, tmp_path: Path) -> None:
    files = tuple(replace(file, sha256=None) for file in tiny.family.files)
    family = IdxFamily("FashionMNIST", files)
    Tiny(family, tiny.raw, tiny.archives).put_extracted(tmp_path)
    messages: list[str] = []
    assert family.find([tmp_path]) is None
    assert family.read([tmp_path], messages.append) is None
    assert len(messages) == 4
    assert all("no hash of the extracted file is published" in message for message in messages)
    assert {row.status for row in family.check([tmp_path])} == {"bad"}
    Tiny(family, tiny.raw, tiny.archives).put_archives(tmp_path)
    assert family.read([tmp_path]) is not None


def test_incomplete_root_says_what_it_lacks(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.put_archives(tmp_path) / f"{NAMES[3]}.gz").unlink()
    messages: list[str] = []
    assert tiny.family.read([tmp_path], messages.append) is None
    assert "t10k-labels-idx1-ubyte.gz" in messages[0]


@pytest.mark.parametrize(
    ("raw", "ndim", "said"),
    [
        (b"\0\0\x08", 1, "too few"),
        (struct.pack(">II", 0x803, 1) + b"\0", 1, "magic is 0x00000803, not 0x00000801"),
        (struct.pack(">II", 0x901, 1) + b"\0", 1, "magic"),
        (struct.pack(">II", 0x801, 3) + b"\0\0", 1, r"10 bytes, but its header \(sizes \[3\]\) needs 11"),
        (struct.pack(">IIII", 0x803, 1, 2, 2) + bytes(5), 3, "needs 20"),
    ],
)
def test_wrong_idx_header_is_named(raw: bytes, ndim: int, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        shape_of(raw, ndim, "'the file'")
    assert str(caught.value).startswith("'the file'")


def test_idx_values_in_row_major_order() -> None:
    raw = struct.pack(">IIII", 0x803, 1, 2, 3) + bytes(range(6))
    assert to_tensor(raw, 3, "it").tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (images_idx(5), labels_idx(4), "5 images but 4 labels"),
        (images_idx(0), labels_idx(0), "holds no values"),
        (struct.pack(">IIII", 0x803, 2, 8, 8) + bytes(128), labels_idx(2), r"\[8, 8\], not \[28, 28\]"),
        (images_idx(1), struct.pack(">II", 0x801, 1) + b"\x0a", "a label is 10; allowed are 0 to 9"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(images: bytes, labels: bytes, said: str, tmp_path: Path) -> None:
    archives = [gzip.compress(data, mtime=0) for data in (images, labels, images, labels)]
    family = IdxFamily("MNIST", idx_files([hashlib.md5(data).hexdigest() for data in archives]))  # noqa: S324
    folder = family.folder(tmp_path)
    folder.mkdir(parents=True)
    for file, data in zip(family.files, archives, strict=True):
        (folder / file.archive).write_bytes(data)
    with pytest.raises(DataError, match=said):
        family.read([tmp_path])


@pytest.mark.mnist
@pytest.mark.xdist_group("torchvision")  # its import takes seconds: in one process only
def test_archives_and_extracted_files_agree_with_torchvision(real_root: Path, tmp_path: Path) -> None:
    import torchvision

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        with gzip.open(real_root / "MNIST" / "raw" / f"{name}.gz") as source, (raw / name).open("wb") as target:
            shutil.copyfileobj(source, target)
    before = listing(real_root)
    archives = load("mnist", data_dir=real_root, fallback="none")
    assert listing(real_root) == before
    extracted = load("mnist", data_dir=tmp_path, fallback="none")
    assert archives.sha256 == extracted.sha256
    for ours, labels, train in (
        (extracted.train_images, extracted.train_labels, True),
        (extracted.test_images, extracted.test_labels, False),
    ):
        theirs = torchvision.datasets.MNIST(tmp_path, train=train)
        assert torch.equal(ours.squeeze(1), theirs.data)
        assert torch.equal(labels, theirs.targets)


def test_an_archive_with_the_right_md5_must_still_unpack_to_the_published_bytes(tiny: Tiny, tmp_path: Path) -> None:
    tiny.put_archives(tmp_path)
    first, *others = tiny.family.files
    forged = replace(tiny.family, files=(replace(first, sha256="0" * 64), *others))
    with pytest.raises(DataError, match="unpacks to bytes with SHA-256"):
        forged.read([tmp_path])


def test_an_archive_is_not_unpacked_beyond_the_size_of_any_such_file(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that has the published MD5, for which files with other contents can be made."""
    bomb = gzip.compress(bytes(1 << 24), mtime=0)  # 16 MiB in 16 KiB
    first, *others = tiny.family.files
    folder = tiny.put_archives(tmp_path)
    (folder / first.archive).write_bytes(bomb)
    monkeypatch.setattr(stored, "MAX_BYTES", 1 << 20)
    md5 = hashlib.md5(bomb).hexdigest()  # noqa: S324 - what the family publishes
    family = replace(tiny.family, files=(replace(first, md5=md5, sha256=None), *others))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="unpacks to more than 1048576 bytes"):
            family.read([tmp_path])
        assert tracemalloc.get_traced_memory()[1] < 1 << 23  # bytes
    finally:
        tracemalloc.stop()


def test_check_says_what_lies_in_a_files_place(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.put_archives(tmp_path)
    os.mkfifo(folder / NAMES[0])
    (folder / NAMES[1]).mkdir()
    problems = {row.path.name: row.problem for row in tiny.family.check([tmp_path]) if row.status == "bad"}
    assert problems == {NAMES[0]: "a pipe or a device, not a file", NAMES[1]: "a folder, not a file"}
