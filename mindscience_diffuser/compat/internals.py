"""Parts of a step that diffusers' schedulers offer one by one, from the formulas and tables of the native ones.

Where a native scheduler has a method of the same name, that is used; what is here needs to be put together.
"""

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype
from scipy.integrate import quad

from mindscience_diffuser.compat.outputs import to_host, to_tensor
from mindscience_diffuser.noise import EDMPreconditioning, flow_shift, stretch_to_terminal
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.consistency.lcm import boundary_scalings
from mindscience_diffuser.schedulers.diffusion.ddpm import log_std_range, posterior
from mindscience_diffuser.schedulers.exponential.exponential import log_snr
from mindscience_diffuser.schedulers.sigma.lms_discrete import adams_bashforth
from mindscience_diffuser.step import EagerPlan


class Internals:
    """Methods of :class:`SchedulerMixin` that only some of diffusers' schedulers have."""

    def _present_row(self):
        """Returns the row of the step that comes next."""
        begun = self._begin_index if self._step_index is None else self._step_index
        if begun is None:
            raise ValueError("No step is under way: call 'set_begin_index' or 'step' first.")
        return begun

    def convert_model_output(self, model_output, sample=None):
        """Returns what the solver integrates, x0 or the noise, as the model predicts it at the present step."""
        native = self.native
        if native.prediction() == {"output": 1.0}:
            return model_output
        x0 = native.clean_sample(native.sigmas[:-1])
        plan = StepPlan(native.timesteps, x0, {"sample": native.prediction()}, limit=native.limit)
        present = plan.take([self._present_row()])
        return EagerPlan(present, native.compute_dtype).run(0, (sample, model_output))[0]

    def _integrate(self, start, end, nodes, predictions, sample, noise=None, tau=None, rule=None):
        """Returns the sample at the end of a step of the log-SNR solvers.

        Args:
            start (int): Row at whose level the step starts.
            end (int): Row at whose level it ends.
            nodes (list of int): Row of each prediction.
            predictions (list of Tensor): What is integrated: x0 or the noise.
            sample (Tensor): The sample at `start`.
            noise (Tensor, optional): Fresh noise of stochastic solvers.
            tau (float, optional): How stochastic the step is. Default: as the solver has it.
            rule (str, optional): How a slope is weighted. Default: as the solver has it.
        """
        native = self.native
        alpha, sigma = (level[[start, end]] for level in native.levels)
        tau = float(native.adds_noise) if tau is None else to_host(tau)
        step = native.step_class((alpha[:1], sigma[:1]), (alpha[1:], sigma[1:]), native.predicts_x0, tau)
        weights = step.weights(native.log_snrs()[nodes][:, None], np.array([len(nodes)]), rule or native.slope_rule)
        total = weighted_sum((step.linear, sample), *zip(weights, predictions))
        return total if noise is None else total + weighted_sum((step.noise, noise))

    def _multistep(self, order, predictions, sample, noise=None, tau=None):
        """One step of the predictor from the present row, with the last `order` of the predictions."""
        row = self._present_row()
        nodes = [row - k for k in range(order)]
        return self._integrate(row, row + 1, nodes, predictions[::-1], sample, noise, tau)

    def dpm_solver_first_order_update(self, model_output, sample=None, noise=None):
        """One step of first order from the present row; `model_output` is converted already."""
        return self._multistep(1, [model_output], sample, noise)

    def multistep_dpm_solver_second_order_update(self, model_output_list, sample=None, noise=None):
        """One step of second order from the present row; the last of the converted outputs is that of the row."""
        return self._multistep(2, model_output_list[-2:], sample, noise)

    def multistep_dpm_solver_third_order_update(self, model_output_list, sample=None, noise=None):
        """One step of third order from the present row; the last of the converted outputs is that of the row."""
        return self._multistep(3, model_output_list[-3:], sample, noise)

    def deis_first_order_update(self, model_output, sample=None):
        """One step of first order from the present row; `model_output` is converted already."""
        return self._multistep(1, [model_output], sample)

    def multistep_deis_second_order_update(self, model_output_list, sample=None):
        """One step of second order from the present row; the last of the converted outputs is that of the row."""
        return self._multistep(2, model_output_list[-2:], sample)

    def multistep_deis_third_order_update(self, model_output_list, sample=None):
        """One step of third order from the present row; the last of the converted outputs is that of the row."""
        return self._multistep(3, model_output_list[-3:], sample)

    def singlestep_dpm_solver_update(self, model_output_list, sample=None, order=None, noise=None):
        """One step of a group of `order` model calls, of which the present row has the last, from the group's base."""
        row = self._present_row()
        outputs = model_output_list[::-1][:order]
        nodes = [row - k for k in range(order)]
        if order == 3 and self.native.settings.solver_type == "midpoint":  # The slope between the ends of the group.
            return self._integrate(row - 2, row + 1, nodes[::2], outputs[::2], sample, noise, rule="exact")
        return self._integrate(row - order + 1, row + 1, nodes, outputs, sample, noise)

    def singlestep_dpm_solver_second_order_update(self, model_output_list, sample=None, noise=None):
        """The end of a group of two model calls, see :meth:`singlestep_dpm_solver_update`."""
        return self.singlestep_dpm_solver_update(model_output_list, sample=sample, order=2, noise=noise)

    def singlestep_dpm_solver_third_order_update(self, model_output_list, sample=None, noise=None):
        """The end of a group of three model calls, see :meth:`singlestep_dpm_solver_update`."""
        return self.singlestep_dpm_solver_update(model_output_list, sample=sample, order=3, noise=noise)

    def multistep_uni_p_bh_update(self, model_output, sample=None, order=None):
        """One step of UniPC's predictor from the present row, with the remembered predictions alone."""
        return self._multistep(order, self.model_outputs[-order:], sample)

    def stochastic_adams_bashforth_update(self, model_output, sample, noise, order, tau):
        """One step of SA-Solver's predictor from the present row, as :meth:`multistep_uni_p_bh_update`."""
        return self._multistep(order, self.model_outputs[-order:], sample, noise, tau)

    def multistep_uni_c_bh_update(self, this_model_output, last_sample=None, this_sample=None, order=None):
        """The last step again with the prediction at its end, `this_model_output`, which is converted already."""
        return self._correct(order + 1, this_model_output, last_sample)

    def stochastic_adams_moulton_update(self, this_model_output, last_sample, last_noise, this_sample, order, tau):
        """The last step again with the prediction at its end, as :meth:`multistep_uni_c_bh_update`."""
        return self._correct(order, this_model_output, last_sample, last_noise, tau)

    def _correct(self, count, prediction, sample, noise=None, tau=None):
        row = self._present_row()
        remembered = self.model_outputs[::-1][: count - 1]
        nodes = [row - k for k in range(count)]
        return self._integrate(row - 1, row, nodes, [prediction, *remembered], sample, noise, tau)

    def _init_step_index(self, timestep):
        """Goes to the row of a timestep, or to the first one that a pipeline has set."""
        self._step_index = None
        self._index_at(timestep)

    def _sigma_to_alpha_sigma_t(self, sigma):
        """Returns alpha and sigma of a process at a level: of a flow, of EDM, or of one that preserves the variance."""
        if self.config.get("use_flow_sigmas"):
            return 1 - sigma, sigma
        if "sigma_data" in self.config:
            return to_tensor(np.ones((), np.int64)), sigma
        alpha = 1 / (sigma**2 + 1) ** 0.5
        return alpha, sigma * alpha

    def _get_conditioning_c_in(self, sigma):
        """Returns the factor of what the network is given at a level."""
        return 1 / (sigma**2 + self.config.sigma_data**2) ** 0.5

    def _get_variance(self, timestep, prev_timestep=None, predicted_variance=None, variance_type=None):
        """Returns the variance of the fresh noise of a step, as diffusers computes it.

        That is the standard deviation for ``"fixed_small_log"``, and for ``"learned_range"`` the logarithm.
        """
        native = self.native
        t = np.asarray(to_host(timestep))
        prev = native.following(t) if prev_timestep is None else np.asarray(to_host(prev_timestep))
        _, beta, variance = posterior(*native.level_at(t), *native.level_at(prev))
        kind = variance_type or self.config.get("variance_type")
        if kind == "learned":
            return predicted_variance
        if kind == "learned_range":
            intercept, slope = log_std_range(beta, np.maximum(variance, 1e-20))
            return 2 * float(intercept) + 2 * float(slope) * predicted_variance
        variance = beta if kind in ("fixed_large", "fixed_large_log") else variance
        return to_tensor(np.asarray(np.sqrt(variance) if kind == "fixed_small_log" else variance))

    def lagrange_polynomial_coefficient(self, order, lambda_list):
        """Returns the coefficients of the Lagrange polynomials of `order` + 1 nodes, the highest power first."""
        nodes = [float(to_host(node)) for node in lambda_list]
        return np.linalg.inv(np.vander(nodes[: order + 1])).T.tolist()

    def get_coefficients_exponential_negative(self, order, interval_start, interval_end):
        """Returns the integral of exp(-x) * x^order over an interval."""
        return exponential_moment(-1.0, order, interval_start, interval_end)

    def get_coefficients_exponential_positive(self, order, interval_start, interval_end, tau):
        """Returns the integral of exp((1 + tau^2) * x) * x^order over an interval."""
        return exponential_moment(1 + to_host(tau) ** 2, order, interval_start, interval_end)

    def get_coefficients_fn(self, order, interval_start, interval_end, lambda_list, tau):
        """Returns the integral of each of `order` Lagrange polynomials with the exponential of the solver."""
        rate = 1 + to_host(tau) ** 2 if self.native.predicts_x0 else -1.0
        moments = [exponential_moment(rate, k, interval_start, interval_end) for k in range(order)]
        return [np.dot(row[::-1], moments) for row in self.lagrange_polynomial_coefficient(order - 1, lambda_list)]

    def get_variables(self, alpha_prod_t, alpha_prod_t_prev, alpha_prod_t_back=None):
        """Returns h, r, lambda and lambda_next of a step between values of alpha_bar, r None at the first one."""
        lambdas = [log_snr(np.sqrt(a), np.sqrt(1 - a)) for a in map(_level, (alpha_prod_t, alpha_prod_t_prev))]
        h = lambdas[1] - lambdas[0]
        if alpha_prod_t_back is None:
            return h, None, *lambdas
        back = _level(alpha_prod_t_back)
        return h, (lambdas[0] - log_snr(np.sqrt(back), np.sqrt(1 - back))) / h, *lambdas

    def get_mult(self, h, r, alpha_prod_t, alpha_prod_t_prev, alpha_prod_t_back=None):
        """Returns the weights of a step: of the sample, minus that of x0, and those of both x0 in its extrapolation."""
        alpha_bar, alpha_bar_next = _level(alpha_prod_t), _level(alpha_prod_t_prev)
        mult = np.sqrt((1 - alpha_bar_next) / (1 - alpha_bar)) * np.exp(-h), np.expm1(-2 * h) * np.sqrt(alpha_bar_next)
        return mult if alpha_prod_t_back is None else (*mult, 1 + 1 / (2 * r), 1 / (2 * r))

    def step_prk(self, model_output, timestep, sample, return_dict=True):
        """A step of the part of PNDM's schedule that Runge and Kutta's method takes, ``prk_timesteps``."""
        if self.native.scheduled:
            calls = len(self.native.prk_timesteps)
            if self._step_index is None:
                self._step_index = self._begin_index or 0
            if self._step_index >= calls:
                raise ValueError(f"All {calls} calls of 'step_prk' were made: go on with 'step_plms'.")
        return self.step(model_output, timestep, sample, return_dict)

    def step_plms(self, model_output, timestep, sample, return_dict=True):
        """A step of the part of PNDM's schedule that Adams and Bashforth's method takes, ``plms_timesteps``.

        It can be taken before the other part only where ``ets`` was set, and then at any timestep of its part.
        """
        calls = len(self.native.prk_timesteps)
        if self.native.scheduled and self._past is not None:
            nearest = np.abs(self.native.plms_timesteps - float(to_host(timestep))).argmin()
            self._step_index = self.native._trajectory.position = calls + int(nearest)
        elif self.native.scheduled and (self._step_index or 0) < calls:
            raise ValueError(f"{calls} calls of 'step_prk' come first, or set 'ets'.")
        return self.step(model_output, timestep, sample, return_dict)

    def get_lms_coefficient(self, order, t, current_order):
        """Returns the weight of the slope `current_order` steps before row `t` in a step of that order."""
        sigmas = self.native.sigmas
        return float(adams_bashforth(sigmas, np.minimum(np.arange(len(sigmas) - 1) + 1, order))[t, current_order])

    def get_order_list(self, num_inference_steps):
        """Returns the order of each of so many steps."""
        if num_inference_steps != len(self.native.timesteps):
            raise ValueError(f"There are {len(self.native.timesteps)} steps, not {num_inference_steps}.")
        return self.native.orders(0).tolist()

    def get_scalings_for_boundary_condition_discrete(self, timestep):
        """Returns c_skip and c_out of LCM at a timestep."""
        return boundary_scalings(to_host(timestep), self.config.timestep_scaling)

    def get_scalings(self, sigma):
        """Returns c_skip and c_out of EDM at a level."""
        scalings = EDMPreconditioning(self.config.sigma_data).scalings(_level(sigma))
        return to_tensor(np.asarray(scalings.c_skip)), to_tensor(np.asarray(scalings.c_out))

    def get_scalings_for_boundary_condition(self, sigma):
        """Returns c_skip and c_out of the consistency function at a level."""
        weights = self.native.clean_sample(_level(sigma))
        return to_tensor(np.asarray(weights["sample"])), to_tensor(np.asarray(weights["output"]))

    def sigma_to_t(self, sigmas):
        """Returns what the model is told at levels, NumPy's where they are."""
        if isinstance(sigmas, (int, float)):
            return float(self.native.model_timestep(sigmas))
        told = self.native.model_timestep(np.asarray(to_host(sigmas), np.float64))
        return to_tensor(told) if isinstance(sigmas, Tensor) else told

    def time_shift(self, mu, sigma, t):
        """Returns levels `t` of a flow shifted by `mu`, after their odds were raised to the power `sigma`."""
        shift = np.exp(mu) if self.config.time_shift_type == "exponential" else mu
        levels = np.asarray(to_host(t), np.float64)
        shifted = flow_shift(1 / (1 + (1 / levels - 1) ** sigma), shift)
        return Tensor(shifted, mstype.float32) if isinstance(t, Tensor) else shifted

    def stretch_shift_to_terminal(self, t):
        """Returns levels of a flow stretched so that the last one is `shift_terminal`."""
        stretched = stretch_to_terminal(np.asarray(to_host(t), np.float64), self.config.shift_terminal)
        return to_tensor(stretched) if isinstance(t, Tensor) else stretched

    def precondition_inputs(self, sample, sigma):
        """Returns what the network is given for a sample of level `sigma`."""
        return weighted_sum((self.native.input_scale(_level(sigma)), sample))

    def precondition_noise(self, sigma):
        """Returns what the network is told of the level `sigma`."""
        told = self.native.model_timestep(_level(sigma))
        return Tensor(told if isinstance(sigma, Tensor) else np.atleast_1d(told))

    def precondition_outputs(self, sample, model_output, sigma):
        """Returns the denoised sample of a sample of level `sigma` and the output of the network."""
        values = {"sample": sample, "output": model_output}
        return weighted_sum(*((w, values[name]) for name, w in self.native.clean_sample(_level(sigma)).items()))


def exponential_moment(rate, order, start, end):
    """Returns the integral of exp(rate * x) * x^order from `start` to `end`."""
    start, end = float(to_host(start)), float(to_host(end))
    return quad(lambda x: np.exp(rate * x) * x**order, start, end, epsabs=0, epsrel=1e-12)[0]


def _level(sigma):
    return np.asarray(to_host(sigma), np.float64)


def weighted_sum(*pairs):
    """Returns the weighted sum of Tensors: pairs (weight, Tensor), each weight a number or an array."""
    return sum(Tensor(np.asarray(weight), mstype.float32) * value for weight, value in pairs)
