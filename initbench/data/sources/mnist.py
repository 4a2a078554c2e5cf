"""MNIST: 60,000 + 10,000 handwritten digits. Y. LeCun, C. Cortes, C. Burges (1998); CC BY-SA 3.0."""

from __future__ import annotations

from initbench.data.dataset import datasets
from initbench.data.idx_family import IdxFamily, idx_files

MD5 = (  # of the archives: torchvision 0.29, datasets.MNIST.resources
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
SHA256 = (  # of the extracted files: what the archives above unpack to
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

datasets.add("mnist", IdxFamily("MNIST", idx_files(MD5, SHA256)))
