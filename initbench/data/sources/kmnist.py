"""KMNIST: 60,000 + 10,000 cursive Japanese characters in MNIST's format. Clanuwat et al. (2018); CC BY-SA 4.0."""

from __future__ import annotations

from initbench.data.dataset import datasets
from initbench.data.idx_family import IdxFamily, idx_files

MD5 = (  # of the archives: torchvision 0.29, datasets.KMNIST.resources
    "bdb82020997e1d708af4cf47b453dcf7",
    "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7",
    "7320c461ea6c1c855c0b718fb2a4b134",
)

datasets.add("kmnist", IdxFamily("KMNIST", idx_files(MD5)))
