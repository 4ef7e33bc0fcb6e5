"""What the YAML file of an ``assimilation`` run may hold, with types, ranges and defaults."""

from typing import Annotated, Literal, Optional, Union

from pydantic import Field

from mindscience_diffuser.runs.config.schema import Count, NonNegative, Positive, Run, Section
from mindscience_diffuser.runs.config.world_model_schema import Denoising, Preconditioning


class Observations(Section):
    """What is measured of the true frames."""

    fraction: Annotated[float, Field(gt=0, le=1)] = Field(0.05, description="Share of the grid points, drawn once")
    every: Count = Field(4, description="Frames from one time of measurements to the next")
    noise_std: Positive = Field(0.05, description="Standard deviation of their noise, in units of the frames")


class Filtering(Section):
    """How the ensemble is begun and corrected."""

    members: Annotated[int, Field(ge=2)] = Field(16, description="Members of the ensemble")
    initial_std: NonNegative = Field(
        0.1, description="Uncertainty of the first frames, as a share of the variability of frames"
    )
    inflation: Union[Annotated[float, Field(ge=1)], Literal["adaptive"]] = Field(
        "adaptive", description="Factor of the members' deviations before a time of measurements, or 'adaptive'"
    )
    localization_radius: Optional[Positive] = Field(
        12.0, description="Grid points at which covariances reach 0; null: they are used as they are"
    )
    periodic: bool = Field(True, description="Whether the grid closes on itself")


class FrameDenoising(Denoising):
    """How many films and frames are assimilated, and how a frame is denoised."""

    initial_noise: Literal["sigma_scaled", "observation"] = Field(
        "observation", description="What a frame starts from, around 0 or around the frame before it"
    )


class AssimilationRun(Run):
    """A filter over films that a trained world model forecasts and that measurements at some points correct."""

    run: Literal["assimilation"] = Field(description="Kind of the run")
    preconditioning: Preconditioning = Field(default_factory=Preconditioning)
    observations: Observations = Field(default_factory=Observations)
    filter: Filtering = Field(default_factory=Filtering)
    rollout: FrameDenoising = Field(default_factory=FrameDenoising)

    def _components(self):
        return [("films", "data", self.data), ("model", "model", self.model)]
