"""Schedulers around a preconditioned denoiser."""
