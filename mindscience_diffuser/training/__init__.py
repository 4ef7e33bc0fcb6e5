"""Training: the loss, its weights, the timesteps, the learning rate and the average of the weights."""

from mindscience_diffuser.training.edm import EDMTrainer
from mindscience_diffuser.training.ema import ExponentialMovingAverage
from mindscience_diffuser.training.few_step.consistency_tuning import ConsistencyTuningTrainer, tuning_levels
from mindscience_diffuser.training.few_step.distillation import ConsistencyDistillation
from mindscience_diffuser.training.few_step.mean_flow import MeanFlowTrainer, training_intervals
from mindscience_diffuser.training.flow_levels import training_sigmas
from mindscience_diffuser.training.flow_matching import FlowMatchingTrainer, flow_weights
from mindscience_diffuser.training.learning_rate import warmup_cosine
from mindscience_diffuser.training.patches import random_patches
from mindscience_diffuser.training.pyramid_flow import PyramidFlowTrainer
from mindscience_diffuser.training.timesteps import training_timesteps
from mindscience_diffuser.training.trainer import DiffusionTrainer
from mindscience_diffuser.training.weighting import min_snr_weights, p2_weights, signal_to_noise

__all__ = [
    "ConsistencyDistillation",
    "ConsistencyTuningTrainer",
    "DiffusionTrainer",
    "EDMTrainer",
    "ExponentialMovingAverage",
    "FlowMatchingTrainer",
    "MeanFlowTrainer",
    "PyramidFlowTrainer",
    "flow_weights",
    "min_snr_weights",
    "p2_weights",
    "signal_to_noise",
    "random_patches",
    "training_intervals",
    "training_sigmas",
    "training_timesteps",
    "tuning_levels",
    "warmup_cosine",
]
