"""Schedulers whose table was fitted to a model."""
