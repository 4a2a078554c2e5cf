"""What the signal does in a network: activations forward, gradients back, measured layer by layer."""
