"""A two-dimensional flow that is stirred by actions, simulated by a pseudo-spectral solver."""
