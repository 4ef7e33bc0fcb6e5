"""A transformer of images: it cuts them into patches and puts its prediction together again."""

from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.models.positional_transformer import PositionalConditionTransformer
from mindscience_diffuser.validation import check_integer


class PatchDiffusionTransformer(PublicCell):
    """A :class:`PositionalConditionTransformer` whose tokens are the patches of an image, of any size that they tile.

    One model thus serves all resolutions of Pyramid Flow: the patches keep their size, and a coarser image has fewer.

    Args:
        in_channels (int): channels of the input image.
        out_channels (int): channels of the output image.
        cond_channels (int): channels of the condition vector.
        hidden_channels (int): width of the transformer; a multiple of `heads`.
        layers (int): number of transformer blocks.
        heads (int): number of attention heads.
        patch_height (int): height of a patch. Default: ``2``.
        patch_width (int): width of a patch. Default: ``2``.
        time_token_cond (bool): see :class:`PositionalConditionTransformer`. Default: ``True``.
        cond_as_token (bool): see :class:`PositionalConditionTransformer`. Default: ``True``.
        compute_dtype (mindspore.dtype): ``mstype.float32`` or ``mstype.float16``. Default: ``mstype.float32``.

    Inputs:
        - **x** (Tensor) - shape (B, in_channels, H, W), H and W multiples of the patch's.
        - **timestep** (Tensor) - shape (B,), any real or integer dtype.
        - **condition** (Tensor, optional) - shape (B, cond_channels). Default: ``None``.

    Outputs:
        Tensor (B, out_channels, H, W) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels`, `compute_dtype` is another, or
            the patches do not tile the image.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        cond_channels,
        hidden_channels,
        layers,
        heads,
        patch_height=2,
        patch_width=2,
        time_token_cond=True,
        cond_as_token=True,
        compute_dtype=mstype.float32,
    ):
        super().__init__(auto_prefix=True)
        self.in_channels = check_integer("in_channels", in_channels, low=1)
        self.out_channels = check_integer("out_channels", out_channels, low=1)
        self.patch_height = check_integer("patch_height", patch_height, low=1)
        self.patch_width = check_integer("patch_width", patch_width, low=1)
        self.grid_multiple = (self.patch_height, self.patch_width)
        area = self.patch_height * self.patch_width
        self.transformer = PositionalConditionTransformer(
            self.in_channels * area,
            self.out_channels * area,
            cond_channels,
            hidden_channels,
            layers,
            heads,
            time_token_cond,
            cond_as_token,
            compute_dtype,
        )

    def construct(self, x, timestep, condition=None):
        """Predicts from the noisy image `x` at `timestep` under `condition`."""
        height, width = x.shape[-2:]
        if height % self.patch_height or width % self.patch_width:
            raise ValueError(
                f"'x' has height {height} and width {width}, which patches of {self.patch_height} times "
                f"{self.patch_width} do not tile."
            )
        rows, columns = height // self.patch_height, width // self.patch_width
        pixels = x.reshape((-1, self.in_channels, rows, self.patch_height, columns, self.patch_width))
        area = self.patch_height * self.patch_width
        tokens = pixels.transpose((0, 2, 4, 1, 3, 5)).reshape((-1, rows * columns, self.in_channels * area))
        predicted = self.transformer(tokens, timestep, condition)
        pixels = predicted.reshape((-1, rows, columns, self.out_channels, self.patch_height, self.patch_width))
        return pixels.transpose((0, 3, 1, 4, 2, 5)).reshape((-1, self.out_channels, height, width))

    def flops(self, height, width):
        """Returns the floating-point operations of the matrix products of one call on one image of this size."""
        return self.transformer.flops((height // self.patch_height) * (width // self.patch_width))
