"""Few-step schedulers of distilled and consistency models."""
