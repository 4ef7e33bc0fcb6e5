"""Batches of training data."""
