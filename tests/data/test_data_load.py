"""`load`: the search order, the stand-in, and what identifies the data that was used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from data_mirror import PROJECT, Mirror, Tiny

from initbench.data import Dataset, datasets, load
from initbench.data.dataset import Images, fingerprint
from initbench.errors import DataError, UsageError


def test_the_registry_has_the_four() -> None:
    assert set(datasets) == {"mnist", "fashion_mnist", "kmnist", "digits"}


def test_import_is_free_of_heavy_libraries() -> None:
    code = (
        "import sys, initbench.data, initbench.data.fetch, initbench.data.loading\n"
        "print(sorted({'torch', 'torchvision', 'sklearn', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("place", ["data_dir", "environment", "cache"])
def test_finds_the_dataset_on_disk_without_a_request(
    place: str, tiny_as_mnist: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    root = tmp_path / "cache" / "initbench" if place == "cache" else tmp_path / "root"
    tiny_as_mnist.put_archives(root)
    if place == "environment":
        monkeypatch.setenv("INITBENCH_DATA", str(root))
    data = load("mnist", data_dir=root if place == "data_dir" else None, fallback="none")
    assert (data.name, data.stand_in_for, data.classes) == ("mnist", None, 10)
    assert (data.info.train_size, data.info.test_size, data.info.sha256) == (40, 20, data.sha256)
    assert not mirror.requests


@pytest.mark.parametrize("given", ["writable", "read-only", "none"])
def test_downloads_into_data_dir_or_else_into_the_cache(
    given: str, tiny_as_mnist: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url.rstrip("/"))
    data_dir = tmp_path / "given"
    data_dir.mkdir(mode=0o555 if given == "read-only" else 0o755)
    load("mnist", data_dir=None if given == "none" else data_dir, fallback="none")
    target = data_dir if given == "writable" else tmp_path / "cache" / "initbench"
    assert tiny_as_mnist.family.find([target]) == target / "MNIST" / "raw"
    assert bool(list(data_dir.iterdir())) == (given == "writable")
    assert mirror.requests == dict.fromkeys(tiny_as_mnist.archives, 1)


def test_bad_file_in_data_dir_is_replaced_and_good_data_returned(
    tiny_as_mnist: Tiny, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", mirror.url)
    whole = load("mnist", data_dir=tiny_as_mnist.put_archives(tmp_path / "whole").parents[1])
    folder = tiny_as_mnist.put_extracted(tmp_path / "broken")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"nonsense")
    messages: list[str] = []
    repaired = load("mnist", data_dir=tmp_path / "broken", fallback="none", notify=messages.append)
    assert repaired.sha256 == whole.sha256
    assert mirror.requests == {"t10k-labels-idx1-ubyte.gz": 1}
    assert [str(folder / "t10k-labels-idx1-ubyte") in message for message in messages] == [True]


def test_unreachable_dataset_gets_its_stand_in_and_says_why() -> None:
    messages: list[str] = []
    data = load("mnist", notify=messages.append)
    assert (data.name, data.stand_in_for) == ("digits", "mnist")
    assert len(messages) == 1
    assert "127.0.0.1:9" in messages[0]
    assert "digits stands in for it" in messages[0]
    assert load("digits").stand_in_for is None
    assert load("digits").sha256 == data.sha256


def test_without_fallback_it_is_an_error_with_three_remedies() -> None:
    with pytest.raises(DataError) as caught:
        load("kmnist", fallback="none")
    for remedy in (
        "initbench data fetch kmnist",
        "INITBENCH_DATA",
        "--data-dir",
        "data.fallback=digits",
        "data.name=digits",
    ):
        assert remedy in str(caught.value)


@pytest.mark.parametrize("fallback", ["digits", "none"])
@pytest.mark.parametrize(("kind", "said"), [("absent", "does not exist"), ("file", "is a file")])
def test_data_dir_that_is_no_folder_is_an_error_always(kind: str, said: str, fallback: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    if kind == "file":
        path.touch()
    with pytest.raises(DataError, match=said) as caught:
        load("mnist", data_dir=path, fallback=fallback)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)


def test_environment_that_names_no_folder_is_named_and_passed_over(
    tiny_as_mnist: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INITBENCH_DATA", str(tmp_path / "gone"))
    tiny_as_mnist.put_archives(tmp_path / "cache" / "initbench")
    messages: list[str] = []
    assert load("mnist", notify=messages.append).name == "mnist"
    assert len(messages) == 1
    assert "INITBENCH_DATA" in messages[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "mnits"}, "Did you mean 'mnist'"),
        ({"name": "digits", "limit": 0}, "limit is 0"),
        ({"name": "digits", "limit": -5}, "limit is -5"),
        ({"name": "digits", "fallback": "digit"}, "Did you mean 'digits'"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(**arguments)  # type: ignore[arg-type]


def test_mirror_that_is_not_https_is_a_usage_error_not_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INITBENCH_MIRROR", "http://example.org/mnist/")
    with pytest.raises(UsageError, match="INITBENCH_MIRROR"):
        load("mnist")


def tensors(data: Dataset) -> Images:
    return Images(data.train_images, data.train_labels, data.test_images, data.test_labels)


def test_sha256_follows_the_data_that_is_used() -> None:
    whole, some, more = load("digits"), load("digits", limit=50), load("digits", limit=60)
    assert len({whole.sha256, some.sha256, more.sha256}) == 3
    assert load("digits", limit=50).sha256 == some.sha256
    images = tensors(some)
    assert fingerprint(images) == some.sha256
    changed = images.train_images.clone()
    changed[0, 0, 14, 14] ^= 1
    assert fingerprint(images._replace(train_images=changed)) != some.sha256
    assert fingerprint(images._replace(train_images=images.train_images.mT)) != some.sha256
    reshaped = images.train_images.view(-1, 1, 14, 56)
    assert fingerprint(images._replace(train_images=reshaped)) != some.sha256


def test_limit_takes_both_splits_and_keeps_images_with_their_labels(tiny_as_mnist: Tiny, tmp_path: Path) -> None:
    root = tiny_as_mnist.put_archives(tmp_path).parents[1]
    whole, some = load("mnist", data_dir=root), load("mnist", data_dir=root, limit=30)
    assert (some.info.train_size, some.info.test_size) == (30, 20)
    assert torch.equal(some.test_images, whole.test_images)
    places = [int((whole.train_images == image).flatten(1).all(1).nonzero()) for image in some.train_images]
    assert places == sorted(set(places))
    assert torch.equal(whole.train_labels[places], some.train_labels)
