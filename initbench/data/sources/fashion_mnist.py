"""FashionMNIST: 60,000 + 10,000 pictures of clothes in MNIST's format. Xiao, Rasul, Vollgraf (2017); MIT."""

from __future__ import annotations

from initbench.data.dataset import datasets
from initbench.data.idx_family import IdxFamily, idx_files

MD5 = (  # of the archives: torchvision 0.29, datasets.FashionMNIST.resources
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
MIRRORS = (  # torchvision's own address has no https: the same bucket's https endpoint, and the authors' repository
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)

datasets.add("fashion_mnist", IdxFamily("FashionMNIST", idx_files(MD5), MIRRORS))
