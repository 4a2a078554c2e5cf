"""Datasets in MNIST's four IDX files and torchvision's folder layout: ROOT/MNIST/raw/train-images-idx3-ubyte(.gz)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from initbench.data.dataset import FileCheck, Images, Notify, Progress, ignore
from initbench.data.idx import to_tensor
from initbench.data.stored import IdxFile, check, is_present, is_untrusted, read_verified
from initbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 28
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NDIMS = (3, 1, 3, 1)


def idx_files(md5: Sequence[str], sha256: Sequence[str | None] = (None,) * 4) -> tuple[IdxFile, ...]:
    """Return the four files, in the order of `NAMES`, with their archives' MD5 and their extracted bytes' SHA-256."""
    return tuple(IdxFile(*row) for row in zip(NAMES, NDIMS, md5, sha256, strict=True))


@dataclass(frozen=True)
class IdxFamily:
    """One dataset of the family. `torchvision_name` is its class in torchvision and its folder in a root."""

    torchvision_name: str
    files: tuple[IdxFile, ...]  # in the order of NAMES
    extra_mirrors: tuple[str, ...] = ()
    classes: int = 10

    def folder(self, root: Path) -> Path:
        """Return the folder of the files in `root`; `root` may also be that folder itself."""
        if root.parts[-2:] == (self.torchvision_name, "raw"):
            return root
        return root / self.torchvision_name / "raw"

    def find(self, roots: Sequence[Path]) -> Path | None:
        """Return the first folder that has all four files in a form that can be verified; reads none of them."""
        return next((folder for folder in map(self.folder, roots) if self._has_all(folder)), None)

    def _has_all(self, folder: Path) -> bool:
        return all(is_present(folder, file) for file in self.files)

    def read(self, roots: Sequence[Path], notify: Notify = ignore) -> Images | None:
        """Return the images of the first root whose four files have the right hash.

        Bad files are set aside and named; so are files that no published hash vouches for, which stay where they are.
        Raises DataError where verified files do not fit together.
        """
        for folder in map(self.folder, roots):
            if self._has_all(folder):
                verified = [read_verified(folder, file, notify) for file in self.files]
                if all(verified):
                    return self._images([found.extracted() for found in verified if found], folder)
            else:
                self._explain_absence(folder, notify)
        return None

    def _explain_absence(self, folder: Path, notify: Notify) -> None:
        lacking = [file for file in self.files if not is_present(folder, file)]
        if len(lacking) < len(self.files):
            notify(f"'{folder}' is incomplete: it lacks {', '.join(file.archive for file in lacking)}.")
        for file in lacking:
            if is_untrusted(folder, file):
                notify(
                    f"'{folder / file.name}' is not used: no hash of the extracted file is published, "
                    f"only its archive's. Put {file.archive} beside it."
                )

    def _images(self, raws: list[bytes], folder: Path) -> Images:
        tensors = [
            to_tensor(raw, file.ndim, f"'{folder / file.name}'") for raw, file in zip(raws, self.files, strict=True)
        ]
        train = self._pair(tensors[0], tensors[1], folder)
        test = self._pair(tensors[2], tensors[3], folder)
        return Images(*train, *test)

    def _pair(self, images: Tensor, labels: Tensor, folder: Path) -> tuple[Tensor, Tensor]:
        """Return images as [N,1,28,28] and labels [N] as int64; raises DataError where they do not fit."""
        if images.shape[1:] != (PIXELS, PIXELS):
            raise DataError(f"'{folder}': images are {list(images.shape[1:])}, not [{PIXELS}, {PIXELS}].")
        if len(images) != len(labels):
            raise DataError(f"'{folder}': {len(images)} images but {len(labels)} labels; they come in pairs.")
        if int(labels.max()) >= self.classes:
            raise DataError(f"'{folder}': a label is {int(labels.max())}; allowed are 0 to {self.classes - 1}.")
        return images.unsqueeze(1), labels.long()

    def fetch(self, root: Path, notify: Notify = ignore, progress: Progress = ignore) -> Path:
        """Download what the folder in `root` lacks and return it; raises DataError where it cannot be had."""
        from initbench.data.fetch import fetch
        from initbench.data.mirrors import mirrors

        folder = self.folder(root)
        fetch(
            self.files,
            folder,
            lambda: mirrors(self.torchvision_name, self.extra_mirrors),
            notify=notify,
            progress=progress,
        )
        return folder

    def check(self, roots: Sequence[Path]) -> list[FileCheck]:
        """Verify the first complete folder; without one the first with any of the files, or else the first."""
        folders = [self.folder(root) for root in roots]
        started = (
            folder for folder in folders if any(is_present(folder, f) or is_untrusted(folder, f) for f in self.files)
        )
        folder = self.find(roots) or next(started, folders[0] if folders else Path(self.torchvision_name, "raw"))
        return [row for file in self.files for row in check(folder, file)]
