"""Solvers of the probability-flow ODE and the reverse SDE in the ratio of noise to signal."""
