"""The drop-in scheduler of a learned plan: diffusers has none, so its conventions are those of diffusers' solvers."""

from mindscience_diffuser.compat.build import drop_in_class
from mindscience_diffuser.compat.description import described
from mindscience_diffuser.compat.scheduler import SchedulerMixin
from mindscience_diffuser.schedulers.learned.learned import LearnedScheduler as NativeLearned


class Learned(SchedulerMixin):
    """LearnedScheduler: the configuration is that of the solver of the fit, with the folder of the plan."""

    has_tables = False

    def _construct(self, given):
        super()._construct(given)
        self.__dict__["order"] = self.native.order
        # No other package has this class, so a pipeline that is saved names this one.
        del self.__dict__["__module__"]
        # Pipelines read from the configuration what the model predicts, and of which noise process.
        self.register_to_config(**{n: value for n, value in self.native.settings.items() if n != "compute_dtype"})

    @property
    def compatibles(self):
        """Classes that take this scheduler's configuration: its own."""
        return [type(self)]

    @classmethod
    def load_config(cls, pretrained_model_name_or_path, subfolder=None, return_unused_kwargs=False, **kwargs):
        """Returns the folder of a learned plan, as a configuration.

        Raises:
            OSError: If there is no ``scheduler_config.json``.
        """
        folder = cls.config_file(pretrained_model_name_or_path, subfolder).parent
        config = {"_class_name": cls.__name__, "folder": str(folder)}
        return (config, kwargs) if return_unused_kwargs else config

    @classmethod
    def extract_init_dict(cls, config, **kwargs):
        """Returns the folder of a configuration, what was given besides, and nothing that is kept for others."""
        if "folder" not in {**config, **kwargs}:
            raise ValueError(
                f"'config' is that of {config.get('_class_name', 'another scheduler')}, and names no folder of a "
                f"learned plan: give one by {cls.__name__}.from_pretrained(folder)."
            )
        return {"folder": kwargs.pop("folder", config.get("folder"))}, kwargs, {}

    @classmethod
    def from_config(cls, config=None, return_unused_kwargs=False, **kwargs):
        """Builds the scheduler of the folder that a configuration names, see :meth:`SchedulerMixin.from_config`.

        Args:
            config (Mapping, optional): ``other.config`` of a learned plan.
            return_unused_kwargs (bool): Whether to return what was not used too. Default: ``False``.
            **kwargs: What the noise process of the plan must be, such as `prediction_type`; another `folder`.

        Raises:
            ValueError: If there is no folder, or the plan was learned for another noise process.
        """
        scheduler, unused = super().from_config(config, return_unused_kwargs=True, **kwargs)
        expected = {name: unused.pop(name) for name in list(unused) if name in scheduler.native.solver.settings}
        scheduler.native.check_process(expected)
        return (scheduler, unused) if return_unused_kwargs else scheduler

    def save_config(self, save_directory, push_to_hub=False, **kwargs):
        """Writes the two files of the plan into a folder, which is made if it does not exist."""
        super().save_config(save_directory, push_to_hub, **kwargs)
        self.native.save_pretrained(save_directory)


SOLVER = described()["UniPCMultistepScheduler"]
SHARED = ("add_noise", "index_for_timestep", "set_begin_index", "step")
READ = ["begin_index", "num_inference_steps", "sigmas", "step_index", "timesteps"]
FACTS = {
    **SOLVER,
    "arguments": [["folder"]],
    "methods": {
        **{name: SOLVER["methods"][name] for name in SHARED},
        "scale_model_input": [["sample"], ["timestep", None]],
        # As in diffusers, `mu` has no effect on levels that do not follow the resolution.
        "set_timesteps": [["num_inference_steps"], ["device", None], ["mu", None]],
    },
    "swallowed": {},
    "attributes": [*READ, "init_noise_sigma", "order"],
    "private": {},
    "later": [],
    "reads": READ,
    "config_reads": [],
    "finds_unknown_timesteps": False,
    "compatibles": [],
}
"""What the class offers: of the methods of diffusers' multistep solvers those that are no part of their formulas."""

LearnedScheduler = drop_in_class("LearnedScheduler", FACTS, Learned, NativeLearned)
