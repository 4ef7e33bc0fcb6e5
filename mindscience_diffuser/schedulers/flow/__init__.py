"""Schedulers of rectified flows."""
