"""From a dataset's name to its tensors: the disk first, then the network, then the stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from initbench.data.dataset import Dataset, Images, Notify, Progress, Source, datasets, fingerprint, ignore
from initbench.data.roots import ENV_ROOT, Places, places
from initbench.data.subset import limited
from initbench.errors import DataError, UsageError, unknown

Fallback = Literal["digits", "none"]
STAND_IN = "digits"


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    fallback: Fallback = "digits",
    limit: int | None = None,
    notify: Notify = ignore,
    progress: Progress = ignore,
) -> Dataset:
    """Return dataset `name`, verified, in the order of its files.

    Looks in `data_dir`, the folder in INITBENCH_DATA and the user's cache, then downloads (into `data_dir` where it is
    given and writable, else into the cache). Where that fails, fallback "digits" returns the stand-in and tells
    `notify` why. `limit` keeps at most so many training and at most so many test images: a stratified subset that is
    the same in every run. `progress` hears of (file name, bytes done, bytes in all or None) during a download.

    Raises UsageError for an unknown name or fallback, a limit below 1, or an INITBENCH_MIRROR that is not https;
    DataError where `data_dir` is not a folder, or the dataset cannot be had and fallback is "none".
    """
    _require_usable(fallback, limit)
    asked = datasets.resolve(name)
    where = places(data_dir, notify)
    try:
        return _dataset(asked, None, _obtain(datasets[asked], where, notify, progress), limit)
    except DataError as error:
        if fallback == "none" or asked == STAND_IN:
            raise DataError(_with_remedies(asked, error)) from error
        notify(f"{asked} is neither on disk nor reachable, {STAND_IN} stands in for it: {_sentence(error)}")
    stand_in = _obtain(datasets[STAND_IN], where, notify, progress)
    return _dataset(STAND_IN, asked, stand_in, limit)


def _require_usable(fallback: str, limit: int | None) -> None:
    if fallback not in get_args(Fallback):
        raise UsageError(unknown("fallback", fallback, get_args(Fallback)))
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; it is a number of images, 1 or more. Leave it out to use all.")


def _obtain(source: Source, where: Places, notify: Notify, progress: Progress) -> Images:
    images = source.read(where.roots, notify)
    if images is not None:
        return images
    root = where.download
    if root is None:
        raise DataError("there is no folder to download to: this user has no home; set XDG_CACHE_HOME")
    folder = source.fetch(root, notify, progress)
    images = source.read([root], notify)
    if images is None:
        raise DataError(f"'{folder}' was complete a moment ago and is not any more")
    return images


def _dataset(name: str, stand_in_for: str | None, images: Images, limit: int | None) -> Dataset:
    used = limited(images, limit, name)
    return Dataset(name, stand_in_for, datasets[name].classes, *used, sha256=fingerprint(used))


def _with_remedies(name: str, error: DataError) -> str:
    if name == STAND_IN:
        return str(error)
    return (
        f"{name} is neither on disk nor reachable: {_sentence(error)} Any of these helps: "
        f"(1) `initbench data fetch {name}` where the network is, or {ENV_ROOT} or --data-dir naming a "
        f"torchvision root that has it; (2) `--set data.fallback={STAND_IN}`, without --no-fallback, to train on the "
        f"stand-in; "
        f"(3) `--set data.name={STAND_IN}` to ask for {STAND_IN} outright."
    )


def _sentence(error: DataError) -> str:
    return str(error).rstrip(".") + "."
