"""What the YAML file of a ``world_model`` run may hold, with types, ranges and defaults."""

from typing import Annotated, Literal

from pydantic import Field

from mindscience_diffuser.runs.config.schema import Count, NonNegative, Positive, Run, Section, Training

INITIAL_NOISE = ("standard", "sigma_scaled", "observation")


class Preconditioning(Section):
    """How the network becomes a denoiser."""

    sigma_data: Positive = Field(0.5, description="Standard deviation of the frames")
    sigma_offset_noise: NonNegative = Field(0.0, description="Noise that shifts a whole frame")
    quantize: bool = Field(False, description="Whether frames are rounded to 8 bits")
    residual: bool = Field(False, description="Whether the change from the last frame is denoised, not the frame")


class WorldModelTraining(Training):
    """How a world model is trained: the noise levels are log-normal."""

    sigma_loc: float = Field(-0.4, description="Mean of the log of the noise levels")
    sigma_scale: Positive = Field(1.2, description="Standard deviation of the log of the noise levels")
    sigma_min: Positive = Field(2e-3, description="Lowest noise level")
    sigma_max: Positive = Field(20.0, description="Highest noise level")
    observation_noise: NonNegative = Field(0.0, description="Makes the model used to frames that are not quite true")


class Denoising(Section):
    """How many films and frames are drawn, and how a frame is denoised."""

    films: Annotated[int, Field(ge=2)] = Field(16, description="Films to draw")
    frames: Count = Field(100, description="Frames of each")
    num_steps_denoising: Count = Field(3, description="Steps for a frame")
    sigma_min: Positive = Field(2e-3, description="Lowest noise level")
    sigma_max: Positive = Field(5.0, description="Highest noise level")
    rho: Positive = Field(7.0, description="Exponent of the noise levels between the two")
    order: Literal[1, 2] = Field(1, description="1: Euler steps, 2: Heun steps")
    compute_dtype: Literal["float32", "float16"] = Field("float32", description="That of model and steps")


class Rollout(Denoising):
    """How a trained world model is rolled out, and against what it is measured."""

    s_churn: NonNegative = Field(0.0, description="Fresh noise of a step")
    s_tmin: NonNegative = Field(0.0, description="Lowest level that gets fresh noise")
    s_tmax: NonNegative = Field(float("inf"), allow_inf_nan=True, description="Highest level that gets fresh noise")
    s_noise: NonNegative = Field(1.0, description="Standard deviation of the fresh noise")
    initial_noise: Annotated[list[Literal[INITIAL_NOISE]], Field(min_length=1)] = Field(
        list(INITIAL_NOISE), description="Each is rolled out: what a frame starts from"
    )


class WorldModelRun(Run):
    """A denoiser of the next frame of a film, given the last ones and the actions; rolled out on its own frames."""

    run: Literal["world_model"] = Field(description="Kind of the run")
    preconditioning: Preconditioning = Field(default_factory=Preconditioning)
    training: WorldModelTraining = Field(default_factory=WorldModelTraining)
    rollout: Rollout = Field(default_factory=Rollout)

    def _components(self):
        return [("films", "data", self.data), ("model", "model", self.model)]
