"""Plans for few calls of one model: noise levels that are searched, weights and times that are learned."""

from mindscience_diffuser.training.plans.optimize import Optimized, optimize

__all__ = ["Optimized", "optimize"]
