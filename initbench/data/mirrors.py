"""Where the MNIST family is downloaded from: INITBENCH_MIRROR, or torchvision's addresses upgraded to https."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from initbench.data.transport import is_safe
from initbench.errors import UsageError

ENV_MIRROR = "INITBENCH_MIRROR"


def mirrors(dataset: str, extra: tuple[str, ...]) -> list[str]:
    """Return the folders that torchvision's class `dataset` names, then `extra`; or INITBENCH_MIRROR alone, if set.

    Raises UsageError where INITBENCH_MIRROR is not https (http is for this machine itself only).
    """
    chosen = os.environ.get(ENV_MIRROR, "")
    if not chosen:
        return list(dict.fromkeys((*torchvision_mirrors(dataset), *extra)))
    if not is_safe(chosen):
        raise UsageError(
            f"{ENV_MIRROR}='{chosen}' is not an https address. Give the https folder that has the .gz files, "
            f"or unset it to use torchvision's mirrors."
        )
    return [chosen.rstrip("/") + "/"]


def torchvision_mirrors(dataset: str) -> list[str]:
    """Return the mirrors of torchvision's class `dataset` as https addresses."""
    import torchvision

    return [secure for mirror in getattr(torchvision.datasets, dataset).mirrors for secure in _upgraded(mirror)]


def _upgraded(mirror: str) -> list[str]:
    parts = urlsplit(mirror)
    if ".s3-website" in parts.netloc:  # Amazon S3's website endpoints answer plain http only
        return []
    return [parts._replace(scheme="https").geturl().rstrip("/") + "/"]
