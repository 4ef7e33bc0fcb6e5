"""Exponential integrators: methods with a memory in the log-SNR."""
