"""Unsupervised pre-training of one layer: restricted Boltzmann machines and denoising autoencoders.

Pure functions of inputs [N, V] in [0, 1], one row per example, and a generator; importing this imports torch.
"""

from initbench.pretraining.autoencoder import Encoder, fit_denoising_autoencoder
from initbench.pretraining.epochs import EpochStatistics, OnEpoch
from initbench.pretraining.rbm import RBM, fit_rbm

__all__ = ["RBM", "Encoder", "EpochStatistics", "OnEpoch", "fit_denoising_autoencoder", "fit_rbm"]
