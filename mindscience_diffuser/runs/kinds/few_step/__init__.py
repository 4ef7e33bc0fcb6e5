"""Runs of models that sample in a few steps."""
