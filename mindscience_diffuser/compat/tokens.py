"""Drop-in schedulers of tokens: diffusers' conventions over the native ones.

They are written out: the others are built from one list of what diffusers' schedulers of continuous samples share.
"""

import functools
import inspect

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import unlock
from mindscience_diffuser.compat.config import DEFAULTED, ConfigMixin
from mindscience_diffuser.compat.membership import CountingAsPeers
from mindscience_diffuser.compat.outputs import StepOutput, in_dtype, noise_source, to_host
from mindscience_diffuser.noise import draw_uniform
from mindscience_diffuser.schedulers.tokens import vq_diffusion
from mindscience_diffuser.schedulers.tokens.amused import AmusedScheduler as NativeAmused
from mindscience_diffuser.schedulers.tokens.block_refinement import BlockRefinementScheduler as NativeBlockRefinement
from mindscience_diffuser.schedulers.tokens.block_refinement import RefinementKernel, even_shares
from mindscience_diffuser.schedulers.tokens.discrete_ddim import DiscreteDDIMScheduler as NativeDiscreteDDIM
from mindscience_diffuser.schedulers.tokens.entropy_bound import EntropyBoundScheduler as NativeEntropyBound
from mindscience_diffuser.schedulers.tokens.kernel import token_kernel
from mindscience_diffuser.validation import check_number


class TokenMixin(ConfigMixin, metaclass=CountingAsPeers):
    """A native scheduler of tokens behind diffusers' conventions.

    Tokens come back in the dtype of the sample. What diffusers draws from a torch generator is drawn from `generator`:
    None, a seed, or an object with ``standard_normal(shape)``.

    Attributes:
        native (TokenScheduler): The scheduler that does the work, for a graph.
    """

    order = 1
    init_noise_sigma = 1.0
    native_class = None
    num_inference_steps = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        listed = list(inspect.signature(cls.__init__).parameters.values())[1:]
        cls.arguments = {parameter.name: parameter.default for parameter in listed}
        cls.__init__ = _constructing(cls.__init__)

    @classmethod
    def class_of(cls, config):
        """Returns the class that a configuration is loaded as: this one."""
        del config
        return cls

    @property
    def compatibles(self):
        """Classes that take this scheduler's configuration: its own."""
        return [type(self)]

    def _construct(self, given):
        values = {name: given.get(name, default) for name, default in self.arguments.items()}
        defaulted = [name for name in values if name not in given]
        self.register_to_config(**({DEFAULTED: defaulted} if defaulted else {}), **values)
        # Pipelines write the package of their parts into model_index.json: this one is read back wherever there is one.
        self.__dict__["__module__"] = "diffusers.schedulers"
        known = self.native_class.arguments
        self.native = unlock(self.native_class(**{name: v for name, v in values.items() if name in known}))

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`: the sample itself."""
        return sample

    def _moved(self, model_output, timestep, sample, generator, *others, **changed):
        """Returns all that the native step knows."""
        noises = None, None, noise_source(generator)
        return self.native.moved(model_output, sample, _index(timestep), *noises, others, **changed)


def _constructing(constructor):
    """Returns a constructor that first keeps what it was given, and builds the native scheduler."""
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def construct(self, *args, **kwargs):
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        given.pop("self")
        self._construct(given)
        constructor(self, *args, **kwargs)

    return construct


def _index(timestep):
    return int(np.ravel(to_host(timestep))[0])


def _result(return_dict, **values):
    return StepOutput(values) if return_dict else tuple(values.values())


class VQDiffusionScheduler(TokenMixin):
    """VQDiffusionScheduler with the conventions of diffusers: classes are axis 1 of logarithms of probabilities."""

    native_class = vq_diffusion.VQDiffusionScheduler

    def __init__(
        self,
        num_vec_classes,
        num_train_timesteps=100,
        alpha_cum_start=0.99999,
        alpha_cum_end=0.000009,
        gamma_cum_start=0.000009,
        gamma_cum_end=0.99999,
    ):
        self.num_embed = num_vec_classes
        self.mask_class = num_vec_classes - 1
        alpha, gamma = self.native.levels
        before = tuple(np.append(end, level[:-1]) for level, end in ((alpha, 1.0), (gamma, 0.0)))
        single = vq_diffusion.transition(before, (alpha, gamma), self.mask_class)
        whole = vq_diffusion.transition((1.0, 0.0), (alpha, gamma), self.mask_class)
        whole = [
            np.append(value, end) for value, end in zip(whole, (1.0, 0.0, 0.0))
        ]  # The last one: before timestep 0.
        self.log_at, self.log_bt, self.log_ct = map(_logarithm, single)
        self.log_cumprod_at, self.log_cumprod_bt, self.log_cumprod_ct = map(_logarithm, whole)
        self.timesteps = Tensor(np.arange(num_train_timesteps)[::-1].copy())

    def set_timesteps(self, num_inference_steps, device=None):
        """Chooses the lowest timesteps, as many as there are steps."""
        self.num_inference_steps = num_inference_steps
        self.timesteps = Tensor(np.arange(num_inference_steps)[::-1].copy())

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        """Moves one timestep towards the clean tokens; `model_output` is ``(B, K - 1, L)``."""
        outputs = self._moved(ops.transpose(model_output, (0, 2, 1)), timestep, sample, generator)
        return _result(return_dict, prev_sample=in_dtype(outputs.prev_sample, sample))

    def q_posterior(self, log_p_x_0, x_t, t):
        """Returns log p(x_{t-1} | x_t), ``(B, K, L)``."""
        row = [Tensor(value) for value in self.native.table[_index(t)].astype(np.float32)]
        logits = ops.transpose(log_p_x_0, (0, 2, 1))
        posterior = self.native.kernel.posterior(row, logits, ops.cast(x_t, mstype.int32))
        return ops.transpose(ops.log(posterior) + ops.logsumexp(logits, -1, True), (0, 2, 1))

    def _logarithms(self, kind, t):
        return [getattr(self, f"log_{kind}{name}").asnumpy()[_index(t)] for name in ("at", "bt", "ct")]

    def log_Q_t_transitioning_to_known_class(self, *, t, x_t, log_onehot_x_t, cumulative):  # noqa: N802
        """Returns log q(x_t | x_{t-1}) by x_{t-1}, or with `cumulative` log q(x_t | x_0) by x_0, ``(B, K, L)``."""
        a, b, c = self._logarithms("cumprod_" if cumulative else "", t)
        onehot = log_onehot_x_t.asnumpy()
        masked = x_t.asnumpy()[:, None] == self.mask_class
        known = np.where(masked, c, np.logaddexp(onehot[:, :-1] + a, b))
        return Tensor((known if cumulative else np.concatenate([known, onehot[:, -1:]], 1)).astype(np.float32))

    def apply_cumulative_transitions(self, q, t):
        """Returns log q(x_t) of the distribution exp(q) of x_0, ``(B, K - 1, L)``: with the mask, ``(B, K, L)``."""
        a, b, c = self._logarithms("cumprod_", t)
        moved = np.logaddexp(q.asnumpy() + a, b)
        return Tensor(np.concatenate([moved, np.full_like(moved[:, :1], c)], 1).astype(np.float32))


def _logarithm(values):
    with np.errstate(divide="ignore"):
        return Tensor(np.log(np.maximum(values, 0)).astype(np.float32))


class SinglePrecisionRatios(NativeAmused):
    """The shares of masked tokens in single precision, whose products with a length may fall below an integer."""

    def mask_ratios(self, count):
        """Returns the share of masked tokens after each of `count` steps, float32."""
        share = np.arange(1, count + 1, dtype=np.float32) / np.float32(count)
        if self.settings.masking_schedule == "linear":
            return 1 - share
        return np.cos(share * np.float32(np.pi) / 2)


class AmusedScheduler(TokenMixin):
    """AmusedScheduler with the conventions of diffusers: of images the classes are axis 1 of the logits."""

    native_class = SinglePrecisionRatios
    temperatures = None
    timesteps = None

    def __init__(self, mask_token_id, masking_schedule="cosine"):
        del mask_token_id, masking_schedule

    def set_timesteps(self, num_inference_steps, temperature=(2, 0), device=None):
        """Chooses the number of steps, and the temperatures of the first and of the last one."""
        self.native.set_timesteps(num_inference_steps, temperature)
        self.timesteps = Tensor(self.native.timesteps)
        self.temperatures = Tensor(self.native.temperatures.astype(np.float32))

    def step(self, model_output, timestep, sample, starting_mask_ratio=1.0, generator=None, return_dict=True):
        """Draws the masked tokens, and masks the least certain ones again."""
        if sample.ndim == 3 and model_output.ndim == 4:
            model_output = ops.transpose(model_output, (0, 2, 3, 1))
        started = Tensor(starting_mask_ratio, mstype.float32)
        outputs = self._moved(model_output, timestep, sample, generator, started)
        named = {name: in_dtype(getattr(outputs, name), sample) for name in ("prev_sample", "pred_original_sample")}
        return _result(return_dict, **named)

    def add_noise(self, sample, timesteps, generator=None):
        """Masks tokens, each with the share of masked tokens after the step of the timestep."""
        noise = Tensor(draw_uniform(sample.shape, noise_source(generator)))
        return in_dtype(self.native.add_noise(sample, noise, _index(timesteps)), sample)


class CountedSteps(TokenMixin):
    """Base of the schedulers whose timesteps count the steps: they are scheduled from the start."""

    def _scheduled(self):
        self.timesteps = Tensor(self.native.timesteps)
        self.num_inference_steps = self.native.num_inference_steps

    def set_timesteps(self, num_inference_steps, device=None):
        """Chooses the number of steps."""
        self.native.set_timesteps(num_inference_steps)
        self._scheduled()


class DiscreteDDIMScheduler(CountedSteps):
    """DiscreteDDIMScheduler with the conventions of diffusers."""

    native_class = NativeDiscreteDDIM

    def __init__(
        self,
        num_inference_steps=32,
        corrector_steps=0,
        corrector_k=1,
        corrector_selection="lowest_log_margin",
        corrector_selection_tau=1.0,
    ):
        self._scheduled()

    def step(self, model_output, timestep, sample, *, temperature=0.0, generator=None, return_dict=True):
        """Draws the next tokens of the posterior of uniform corruption."""
        temperature = check_number("temperature", temperature, "[0, inf)")
        outputs = self._moved(model_output, timestep, sample, generator, temperature=temperature)
        return _result(
            return_dict,
            prev_sample=in_dtype(outputs.prev_sample, sample),
            sampled_tokens=in_dtype(outputs.pred_original_sample, sample),
            sampled_probs=outputs.probability,
            pred_logits=model_output,
        )

    def step_correct(self, model_output, timestep, sample, *, generator=None, return_dict=True):
        """Draws the tokens of the least certain positions again."""
        noises = None, None, noise_source(generator)
        results = self.native.corrected(model_output, sample, _index(timestep), *noises)
        prev_sample, drawn, probability, order = (result.asnumpy() for result in results)
        positions = np.argsort(order, axis=1)[:, : self.config.corrector_k]
        return _result(
            return_dict,
            prev_sample=Tensor(prev_sample, sample.dtype),
            sampled_tokens=Tensor(np.take_along_axis(drawn, positions, 1), sample.dtype),
            sampled_probs=Tensor(np.take_along_axis(probability, positions, 1)),
            pred_logits=model_output,
        )

    def _to_loo_logits(self, logits, tokens, alpha):
        """Returns the logits of the leave-one-out denoiser, arXiv:2605.22765, eq. (13)."""
        shifted = np.array(logits.asnumpy())
        if 0 < alpha < 1:
            here = tokens.asnumpy()[..., None] == np.arange(shifted.shape[-1])
            shifted -= here * np.float32(np.log1p(shifted.shape[-1] * alpha / (1 - alpha)))
        return Tensor(shifted)


class EntropyBoundScheduler(CountedSteps):
    """EntropyBoundScheduler with the conventions of diffusers."""

    native_class = NativeEntropyBound

    def __init__(self, entropy_bound=0.1, t_max=0.8, t_min=0.4, num_inference_steps=32):
        self._scheduled()

    def step(self, model_output, timestep, sample, *, entropy_bound=None, generator=None, return_dict=True):
        """Keeps the tokens of least entropy within the bound, and renews the others."""
        bound = self.config.entropy_bound if entropy_bound is None else entropy_bound
        outputs = self._moved(
            model_output, timestep, sample, generator, bound=check_number("entropy_bound", bound, "[0, inf]")
        )
        return _result(
            return_dict,
            prev_sample=in_dtype(outputs.prev_sample, sample),
            accepted_index=outputs.accepted,
            sampled_tokens=in_dtype(outputs.pred_original_sample, sample),
            sampled_probs=outputs.probability,
            pred_logits=model_output / float(self.native.table[_index(timestep), 0]),
        )


FILTERING = token_kernel(RefinementKernel, None, True)
"""The kernel whose parts the static methods are."""


class BlockRefinementScheduler(TokenMixin):
    """BlockRefinementScheduler with the conventions of diffusers: how tokens are drawn is told to each step."""

    native_class = NativeBlockRefinement

    def __init__(self, block_length=32, num_inference_steps=32, threshold=0.95, editing_threshold=None, minimal_topk=1):
        self.num_inference_steps = num_inference_steps
        self.timesteps = Tensor(np.arange(num_inference_steps)[::-1].copy())
        self._transfer_schedule = None
        self._committed = None

    def set_timesteps(self, num_inference_steps, device=None, block_length=None):
        """Chooses the number of steps of a block, and its length."""
        self.native.set_timesteps(num_inference_steps, block_length)
        self.num_inference_steps = num_inference_steps
        self.timesteps = Tensor(np.arange(num_inference_steps)[::-1].copy())
        self._transfer_schedule = self.get_num_transfer_tokens(self.native.block_length, num_inference_steps)
        self._committed = None

    def get_num_transfer_tokens(self, block_length, num_inference_steps):
        """Returns how many tokens each step commits, int64."""
        shares = even_shares(block_length, num_inference_steps) if num_inference_steps > 0 else np.zeros(0)
        return Tensor(shares.astype(np.int64))

    def step(
        self,
        model_output,
        timestep,
        sample,
        *,
        mask_token_id=None,
        temperature=0.0,
        top_p=None,
        top_k=None,
        sampling_method="auto",
        threshold=None,
        editing_threshold=None,
        minimal_topk=None,
        prompt_mask=None,
        generator=None,
        return_dict=True,
    ):
        """Commits the most certain tokens of a block, and edits others."""
        step, count, native = _index(timestep), self.num_inference_steps, self.native
        temperature = check_number("temperature", temperature, "[0, inf)")
        if sampling_method not in ("auto", "multinomial"):
            temperature = 0.0
        top_k, top_p = self._limits(top_k, top_p)
        limits = native.limits(temperature, top_k, top_p)
        threshold = self.config.threshold if threshold is None else threshold
        editing = self.config.editing_threshold if editing_threshold is None else editing_threshold
        editing = np.inf if editing is None or (mask_token_id is not None and editing <= 0) else editing
        if mask_token_id is None:
            if step == 0 or self._committed is None or self._committed.shape != sample.shape:
                self._committed = Tensor(np.zeros(sample.shape, np.bool_))
            quota = -(-(step + 1) * sample.shape[1] // count)
            prompt_mask = None
        elif self._transfer_schedule is None:
            quota, threshold = 0, np.inf
        else:
            quota = int(to_host(self._transfer_schedule)[min(step, len(self._transfer_schedule) - 1)])
        native.draw_by(mask_token_id, top_k, top_p, sample.shape[1])
        outputs = native.moved(
            *(model_output, sample, min(step, count - 1), None, None, noise_source(generator)),
            native.others(sample, self._committed if mask_token_id is None else None, prompt_mask),
            quota=quota,
            threshold=threshold,
            editing_threshold=editing,
            temperature=temperature,
            **limits,
        )
        if mask_token_id is None:
            self._committed = outputs.committed
        return _result(
            return_dict,
            prev_sample=in_dtype(outputs.prev_sample, sample),
            transfer_index=outputs.accepted,
            editing_transfer_index=outputs.edited,
            sampled_tokens=in_dtype(outputs.pred_original_sample, sample),
            sampled_probs=outputs.probability,
            pred_logits=model_output,
        )

    @staticmethod
    def _limits(top_k, top_p):
        """Returns both limits, None for what diffusers takes as none: 0 and less, or 1 and more."""
        return top_k if top_k and top_k > 0 else None, top_p if top_p is not None and top_p < 1 else None

    @staticmethod
    def _filtered(logits, top_k, top_p):
        """Returns logits, and the least number of their dtype for the tokens that the native kernel leaves out."""
        limits = NativeBlockRefinement.limits(1.0, *BlockRefinementScheduler._limits(top_k, top_p)).values()
        rows = ops.cast(logits.reshape((1, -1, logits.shape[-1])), mstype.float32)
        kept = FILTERING.filtered(rows, *(Tensor(limit, mstype.float32) for limit in limits)) == rows
        values = logits.asnumpy()
        return Tensor(np.where(kept.asnumpy().reshape(values.shape), values, np.finfo(values.dtype).min))

    @staticmethod
    def _top_k_filtering(logits, top_k):
        """Returns logits without the tokens beyond the `top_k` likeliest; None, 0 and less for no limit."""
        return BlockRefinementScheduler._filtered(logits, top_k, None)

    @staticmethod
    def _top_p_filtering(logits, top_p):
        """Returns logits without the tokens beyond the likeliest of share `top_p`; None, 1 and more for no limit."""
        return BlockRefinementScheduler._filtered(logits, None, top_p)

    @staticmethod
    def _sample_from_logits(logits, *, temperature, top_k, top_p, generator, use_multinomial):
        """Returns a token for each position, int64, and its probability, float32: the likeliest one at 0."""
        temperature = check_number("temperature", temperature, "[0, inf)")
        rows, noise = ops.cast(logits.reshape((1, -1, logits.shape[-1])), mstype.float32), None
        if temperature > 0 and use_multinomial:
            rows = BlockRefinementScheduler._filtered(rows / temperature, top_k, top_p)
            noise = Tensor(draw_uniform(rows.shape, noise_source(generator)))
        token = FILTERING.drawn(rows, noise)
        probability = FILTERING.probability(ops.softmax(rows, -1), token)
        return ops.cast(token, mstype.int64).reshape(logits.shape[:-1]), probability.reshape(logits.shape[:-1])

    @staticmethod
    def check_eos_finished(cur_x, sampled_tokens, final_transfer, finished, eos_token_id, mask_token_id, prompt_length):
        """Returns which samples are finished: their end was committed, and no mask is left before it."""
        values = map(to_host, (cur_x, sampled_tokens, final_transfer, finished))
        tokens, drawn, transferred, done = (np.array(value) for value in values)
        for row in np.flatnonzero(~done):
            ends = np.flatnonzero(tokens[row] == eos_token_id)
            if not np.any(drawn[row][transferred[row]] == eos_token_id) or not ends.size or ends[0] < prompt_length:
                continue
            done[row] = np.all(tokens[row, prompt_length : ends[0]] != mask_token_id)
        return Tensor(done)

    def check_block_should_continue(
        self,
        step_idx,
        masks_remaining,
        editing_enabled,
        editing_transfer_index,
        post_steps,
        max_post_steps,
        finished,
    ):
        """Returns whether the block needs another step."""
        if np.all(to_host(finished)):
            return False
        if masks_remaining:
            return step_idx < self.num_inference_steps
        return bool(editing_enabled and np.any(to_host(editing_transfer_index)) and post_steps <= max_post_steps)

    def add_noise(
        self, original_samples, attention_mask, *, prompt_length, block_length, mask_token_id, generator=None
    ):
        """Masks a random share of each block, and in a second view the rest of it.

        Returns both noisy samples, and which tokens are masked in each.
        """
        tokens, valid = original_samples.asnumpy(), to_host(attention_mask).astype(bool)
        batch, length = tokens.shape
        source = noise_source(generator)
        masked, rest = np.zeros(tokens.shape, bool), np.zeros(tokens.shape, bool)
        for start in range(prompt_length, length, block_length):
            block = slice(start, min(length, start + block_length))
            share = draw_uniform((batch, 1), source)
            chosen = draw_uniform((batch, block.stop - start), source) < share
            masked[:, block], rest[:, block] = chosen & valid[:, block], ~chosen & valid[:, block]
        noisy = (np.where(which, mask_token_id, tokens).astype(tokens.dtype) for which in (masked, rest))
        return (*map(Tensor, noisy), Tensor(masked), Tensor(rest))
