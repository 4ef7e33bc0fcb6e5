"""What the YAML file of a ``world_model`` run may hold, with types, ranges and defaults."""

from typing import Annotated, Literal, Optional

from pydantic import Field

from mindscience_diffuser.runs.schema import Component, Count, NonNegative, Positive, Section, Seed, Training

INITIAL_NOISE = ("standard", "sigma_scaled", "observation")


class Preconditioning(Section):
    """How the network becomes a denoiser."""

    sigma_data: Positive = 0.5
    sigma_offset_noise: NonNegative = 0.0
    quantize: bool = False


class WorldModelTraining(Training):
    """How a world model is trained: the noise levels are log-normal."""

    sigma_loc: float = -0.4
    sigma_scale: Positive = 1.2
    sigma_min: Positive = 2e-3
    sigma_max: Positive = 20.0
    observation_noise: NonNegative = Field(0.0, description="makes the model used to frames that are not quite true")


class Rollout(Section):
    """How a trained world model is rolled out, and against what it is measured."""

    films: Annotated[int, Field(ge=2)] = 16
    frames: Count = 100
    num_steps_denoising: Count = 3
    sigma_min: Positive = 2e-3
    sigma_max: Positive = 5.0
    rho: Positive = 7.0
    order: Literal[1, 2] = 1
    s_churn: NonNegative = 0.0
    s_tmin: NonNegative = 0.0
    s_tmax: NonNegative = float("inf")
    s_noise: NonNegative = 1.0
    initial_noise: Annotated[list[Literal[INITIAL_NOISE]], Field(min_length=1)] = list(INITIAL_NOISE)
    compute_dtype: Literal["float32", "float16"] = "float32"


class WorldModelRun(Section):
    """A denoiser of the next frame of a film, given the last ones and the actions; rolled out on its own frames."""

    run: Literal["world_model"]
    seed: Seed = 0
    output: str
    weights: Optional[str] = None
    data: Component
    model: Component
    preconditioning: Preconditioning = Field(default_factory=Preconditioning)
    training: WorldModelTraining = Field(default_factory=WorldModelTraining)
    rollout: Rollout = Field(default_factory=Rollout)
