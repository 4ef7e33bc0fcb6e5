"""The forms of the methods of drop-in schedulers that the graph compiler reads, where Python runs the others.

Inside a graph nothing is counted: a step is the one of its timestep. Results are in the dtype of the sample, and a
plain tuple also with `return_dict`: MindSpore passes no gradient through a NamedTuple there.
"""

import inspect

from mindspore import ops

from mindscience_diffuser.schedulers.base.scheduler import SchedulerOutput
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.step import SAMPLE_DTYPES

NOT_IN_GRAPH = (
    "Inside a graph a drop-in scheduler has scale_model_input, add_noise, scale_noise and get_velocity, and step where "
    "it remembers no earlier step and calls the model once. For anything else call scheduler.native(model_output, "
    "sample, index, *history) there, or give scheduler.native to a Sampler."
)


class InGraph:
    """Methods in the form for graphs, each with the arguments of the method that it stands for.

    Attributes:
        noises_by_row (bool): Whether `add_noise` finds the levels by the rows of the trajectory.
        native_options (tuple of str): Names of the arguments of the native `step`.
        graph_results (tuple of int): Positions of what a step returns in what the native step returns.
    """

    @staticmethod
    def graph_facts(native_class, facts):
        """Returns the attributes of a drop-in class, from its native class and what diffusers offers."""
        fields = getattr(native_class, "output", SchedulerOutput)._fields
        return {
            "noises_by_row": issubclass(native_class, SigmaScheduler)
            and (
                ["schedule_timesteps", None] in facts["methods"].get("index_for_timestep", ())
                or facts["finds_unknown_timesteps"]
            ),
            "native_options": tuple(inspect.signature(native_class.step).parameters),
            "graph_results": tuple(fields.index(name) for name in facts["output"] if name in fields),
        }

    def rows_in_graph(self, timesteps):
        """Returns the rows of timesteps, of equal ones the second, as `index_for_timestep` does."""
        schedule, rows = self.native.schedule, self.native.row_in_graph(timesteps)
        following = ops.minimum(rows + 1, schedule.shape[0] - 1)
        equal = ops.gather(schedule, rows, 0) == ops.gather(schedule, following, 0)
        return ops.select(equal, following, rows)

    def add_noise_in_graph(self, original_samples, noise, timesteps):
        """The form of `add_noise`."""
        if original_samples.dtype not in SAMPLE_DTYPES:
            raise TypeError(
                "Inside a graph samples of integers must be converted first: use astype(mindspore.float32)."
            )
        if self.noises_by_row:
            noisy = self.native.forward_process(self.rows_in_graph(timesteps), original_samples, noise)[0]
        else:
            noisy = self.native.add_noise(original_samples, noise, timesteps)
        return ops.cast(noisy, original_samples.dtype)

    def scale_noise_in_graph(self, sample, timestep, noise=None):
        """The form of `scale_noise`."""
        return self.add_noise_in_graph(sample, noise, timestep)

    def get_velocity_in_graph(self, sample, noise, timesteps):
        """The form of `get_velocity`; where levels are found by row, alpha_bar is that of the row, as in diffusers."""
        if self.noises_by_row:
            rows = self.rows_in_graph(timesteps)
            alpha_bar = ops.gather(self.alphas_cumprod, rows, 0).reshape((-1,) + (1,) * (sample.ndim - 1))
            velocity = ops.sqrt(alpha_bar) * noise - ops.sqrt(1 - alpha_bar) * sample
        else:
            velocity = self.native.get_velocity(sample, noise, timesteps)
        return ops.cast(velocity, sample.dtype)

    def scale_model_input_in_graph(self, sample, timestep=None):
        """The form of `scale_model_input`."""
        if not self.indexed or self.native.input_scaling is None:
            return sample
        return ops.cast(self.native.scale_model_input(sample, timestep), sample.dtype)

    def other_method_in_graph(self, *args, **kwargs):
        """The form of a method that graphs do not have."""
        raise ValueError(NOT_IN_GRAPH)

    def prediction_in_graph(self, model_output, sample):
        """Returns the prediction in the output of a model that may hold a variance too."""
        if self.indexed and (self.native.remembered > 0 or self.native.order > 1):
            raise ValueError(NOT_IN_GRAPH)
        if model_output.shape[1] == 2 * sample.shape[1]:
            return model_output[:, : sample.shape[1]]
        return model_output

    def result_in_graph(self, outputs, sample):
        """Returns the results of a native step in the dtype of the sample, as a tuple."""
        results = ()
        for position in self.graph_results:
            results += (ops.cast(outputs[position], sample.dtype),)
        return results

    def step_without_options(self, model_output, timestep, sample, return_dict=True):
        """The form of a `step` without options."""
        prediction = self.prediction_in_graph(model_output, sample)
        outputs = self.native.step(prediction, sample, timestep, return_dict=True)
        return self.result_in_graph(outputs, sample)

    def step_with_noise(self, model_output, timestep, sample, generator=None, return_dict=True):
        """The form of a `step` with fresh noise, whose variance may be learned."""
        prediction = self.prediction_in_graph(model_output, sample)
        if "predicted_variance" in self.native_options and self.native.learned:
            variance = model_output[:, sample.shape[1] :]
            outputs = self.native.step(prediction, sample, timestep, variance, generator=generator, return_dict=True)
        else:
            outputs = self.native.step(prediction, sample, timestep, generator=generator, return_dict=True)
        return self.result_in_graph(outputs, sample)

    def step_of_ddim(
        self,
        model_output,
        timestep,
        sample,
        eta=0.0,
        use_clipped_model_output=False,
        generator=None,
        variance_noise=None,
        return_dict=True,
    ):
        """The form of DDIM's `step`; CogVideoX's has the same arguments and ignores them, as in diffusers."""
        if "eta" not in self.native_options:
            return self.step_without_options(model_output, timestep, sample, return_dict)
        prediction = self.prediction_in_graph(model_output, sample)
        outputs = self.native.step(
            prediction, sample, timestep, eta, use_clipped_model_output, variance_noise, generator, True
        )
        return self.result_in_graph(outputs, sample)

    def step_with_churn(
        self,
        model_output,
        timestep,
        sample,
        s_churn=0.0,
        s_tmin=0.0,
        s_tmax=float("inf"),
        s_noise=1.0,
        generator=None,
        return_dict=True,
    ):
        """The form of a `step` with churn, for steps without it."""
        if s_churn != 0:
            raise ValueError("Inside a graph a step has no churn: leave 's_churn' out.")
        return self.step_without_options(model_output, timestep, sample, return_dict)

    def step_to_given(
        self,
        model_output,
        timestep,
        sample,
        s_churn=0.0,
        s_tmin=0.0,
        s_tmax=float("inf"),
        s_noise=1.0,
        generator=None,
        return_dict=True,
        pred_original_sample=None,
    ):
        """The form of the `step` of EDM's Euler method, for steps without churn from the output of the model."""
        if s_churn != 0 or pred_original_sample is not None:
            raise ValueError("Inside a graph leave 's_churn' and 'pred_original_sample' out.")
        return self.step_without_options(model_output, timestep, sample, return_dict)

    def step_to_end(self, model_output, timestep, sample, r_timestep=None, return_dict=True):
        """The form of the `step` of a flow map, for steps to the next timestep."""
        if r_timestep is not None:
            raise ValueError("Inside a graph a step leads to the next timestep: leave 'r_timestep' out.")
        return self.step_without_options(model_output, timestep, sample, return_dict)

    def step_of_tokens(
        self,
        model_output,
        timestep,
        sample,
        s_churn=0.0,
        s_tmin=0.0,
        s_tmax=float("inf"),
        s_noise=1.0,
        generator=None,
        per_token_timesteps=None,
        return_dict=True,
    ):
        """The form of the `step` of flow matching; its churn has no effect, as in diffusers."""
        prediction = self.prediction_in_graph(model_output, sample)
        outputs = self.native.step(
            prediction, sample, timestep, per_token_timesteps, generator=generator, return_dict=True
        )
        return self.result_in_graph(outputs, sample)

    def step_of_tcd(self, model_output, timestep, sample, eta=0.3, generator=None, return_dict=True):
        """The form of TCD's `step`, for the eta that it has by default."""
        if eta != 0.3:
            raise ValueError("Inside a graph TCD steps with eta=0.3: leave 'eta' out.")
        return self.step_with_noise(model_output, timestep, sample, generator, return_dict)

    def step_of_repaint(self, model_output, timestep, sample, original_image, mask, generator=None, return_dict=True):
        """The form of RePaint's `step`."""
        outputs = self.native.step(
            model_output, sample, timestep, original_image, mask, generator=generator, return_dict=True
        )
        return self.result_in_graph(outputs, sample)


def graph_form(method, parameters):
    """Returns the form for graphs of a method with these parameters, as they are listed."""
    if method != "step":
        return getattr(InGraph, f"{method}_in_graph", InGraph.other_method_in_graph)
    return STEPS.get(tuple(name for name, *_ in parameters), InGraph.other_method_in_graph)


STEPS = {
    tuple(inspect.signature(form).parameters)[1:]: form
    for name, form in vars(InGraph).items()
    if name.startswith("step_")
}
"""The forms of `step` by the names of their arguments."""
