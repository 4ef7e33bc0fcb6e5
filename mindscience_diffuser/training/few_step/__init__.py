"""Training of models that sample in few steps: distillation, consistency tuning, flow maps."""
