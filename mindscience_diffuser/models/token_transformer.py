"""What the diffusion transformers share: their arguments, and how timestep and condition reach the tokens."""

from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.models.arguments import MOST_LAYERS, check_compute_dtype, check_heads
from mindscience_diffuser.models.blocks import Dense
from mindscience_diffuser.validation import check_bool, check_integer


class TokenTransformer(PublicCell):
    """Base of the transformers over a sequence of tokens that are told the timestep.

    A subclass makes the layers in :meth:`_make_layers` and applies them in :meth:`_tokens`, :meth:`_time` and
    :meth:`_run_blocks`.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        hidden_channels,
        layers,
        heads,
        time_token_cond=True,
        compute_dtype=mstype.float32,
    ):
        super().__init__(auto_prefix=True)
        self.in_channels = check_integer("in_channels", in_channels, low=1)
        self.out_channels = check_integer("out_channels", out_channels, low=1)
        self.hidden_channels = check_integer("hidden_channels", hidden_channels, low=1)
        self.layers = check_integer("layers", layers, low=1, high=MOST_LAYERS)
        heads = check_integer("heads", heads, low=1)
        check_heads(heads, self.hidden_channels)
        check_bool("time_token_cond", time_token_cond)
        check_compute_dtype(compute_dtype)
        self.time_token_cond = time_token_cond
        self.context_length = int(time_token_cond)
        self.compute_dtype = compute_dtype
        self._make_layers(heads)

    def _make_layers(self, heads):
        """Makes the layers."""
        raise NotImplementedError

    def _tokens(self, x):
        """Projects the input, (B, L, in_channels), to tokens of `hidden_channels`."""
        raise NotImplementedError

    def _time(self, timestep):
        """Embeds the timestep: (B,) or (B, 1) to (B, hidden_channels)."""
        raise NotImplementedError

    def _run_blocks(self, hidden, context_length):
        """Runs the blocks; returns the tokens after the first `context_length` ones, projected."""
        raise NotImplementedError

    def construct(self, x, timestep):
        """Predicts from the noisy tokens `x` at `timestep`."""
        return self._transform(self._tokens(x), self._time(timestep), None)

    def flops(self, length):
        """Returns the floating-point operations of the matrix products of one call on one sample of `length` tokens.

        A multiplication and its addition count as two; what is computed for each element alone is left out. A condition
        counts as one token.
        """
        width, hidden = self.hidden_channels, length + self.context_length
        ends = 2 * length * width * (self.in_channels + self.out_channels)
        time = 2 * 8 * width**2
        block = 2 * hidden * 12 * width**2 + 4 * hidden**2 * width
        return ends + time + self.layers * block

    def _transform(self, tokens, time, condition):
        """Runs the blocks over tokens (B, L, C), with time (B, C) and condition (B, N, C) before or added to them."""
        context = ()
        context_length = 0
        time = ops.expand_dims(time, 1)
        if self.time_token_cond:
            context = context + (time,)
            context_length = 1
        else:
            tokens = tokens + time
        if condition is not None:
            if self.cond_as_token:
                context = context + (condition,)
                context_length = context_length + condition.shape[1]
            else:
                tokens = tokens + condition
        if len(context) > 0:
            tokens = ops.concat(context + (tokens,), axis=1)
        return self._run_blocks(tokens, context_length)


class Conditioned:
    """What a :class:`TokenTransformer` adds that is told a condition too; stands before it among the bases."""

    def __init__(
        self,
        in_channels,
        out_channels,
        cond_channels,
        hidden_channels,
        layers,
        heads,
        time_token_cond=True,
        cond_as_token=True,
        compute_dtype=mstype.float32,
    ):
        super().__init__(in_channels, out_channels, hidden_channels, layers, heads, time_token_cond, compute_dtype)
        self.cond_channels = check_integer("cond_channels", cond_channels, low=1)
        check_bool("cond_as_token", cond_as_token)
        self.cond_as_token = cond_as_token
        self.context_length += int(cond_as_token)
        self.cond_embed = Dense(self.cond_channels, self.hidden_channels, compute_dtype)

    def construct(self, x, timestep, condition=None):
        """Predicts from the noisy tokens `x` at `timestep` under `condition`."""
        return self.predict(x, self._time(timestep), condition)

    def flops(self, length):
        """Returns the floating-point operations of :meth:`TokenTransformer.flops` and of embedding a condition."""
        return super().flops(length) + 2 * self.cond_channels * self.hidden_channels

    def predict(self, x, time, condition):
        """Predicts from the noisy tokens `x`, the embedded timestep (B, hidden_channels) and `condition`."""
        if condition is None:
            return self._transform(self._tokens(x), time, None)
        if condition.ndim != 2 and not (self.cond_as_token and condition.ndim == 3):
            allowed = "(B, cond_channels)"
            if self.cond_as_token:
                allowed = "(B, cond_channels) or (B, N, cond_channels)"
            raise ValueError(
                f"'condition' must have the shape {allowed} with cond_as_token={self.cond_as_token}, but has "
                f"{condition.shape}."
            )
        embedded = self.cond_embed(condition)
        if embedded.ndim == 2:
            embedded = ops.expand_dims(embedded, 1)
        return self._transform(self._tokens(x), time, embedded)
