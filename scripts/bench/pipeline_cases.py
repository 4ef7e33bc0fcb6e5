"""Pipelines of mindone with small networks: which scheduler each of them has, and how it is called."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from mindspore import Tensor
from small_networks import Autoencoder, Checker, Encoder, Network, Tokenizer, text

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
SIZE = {"height": 64, "width": 64}
LATENT = {"output_type": "latent"}
ONES = Tensor(np.ones((1, 8), np.float32))
PROMPT = {"prompt_embeds": text(), "negative_prompt_embeds": text(seed=1)}
POOLED = {"pooled_prompt_embeds": ONES, "negative_pooled_prompt_embeds": ONES * 0.5}
MASK = Tensor(np.ones((1, 4), np.int32))
MASKS = {"prompt_attention_mask": MASK, "negative_prompt_attention_mask": MASK}
GUIDED = {**PROMPT, **SIZE, **LATENT}
PLAIN = {"prompt_embeds": text(), **SIZE, **LATENT}
CASCADE = {
    **PROMPT,
    "prompt_embeds_pooled": text(tokens=1),
    "negative_prompt_embeds_pooled": text(tokens=1, seed=1),
}
IMAGE = {"image": Tensor(np.random.default_rng(3).uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)), "strength": 0.7}
CODES = {"image_embeddings": Tensor(np.ones((1, 16, 2, 2), np.float32))}
VERSION = "another version of diffusers: the grid of UniPC's flow"
NOT_A_NUMBER = "mindone gives NaN"


class Case(NamedTuple):
    """A pipeline with one scheduler.

    Attributes:
        pipeline (str): Name of the class.
        scheduler (str): Name of the class of its scheduler, without the last word.
        config (dict): What is no default of the scheduler.
        call (dict): Arguments of the call.
        parts (dict): The other arguments of the constructor.
        steps (int): Number of steps.
        deviation (str): Why the images must differ, if they must.
    """

    pipeline: str
    scheduler: str
    config: dict
    call: dict
    parts: dict
    steps: int = 8
    deviation: str = ""


def cases():
    """Yields the cases."""
    vae, unchecked = Autoencoder(), {"requires_safety_checker": False}
    of_size = {"sample_size": 8}
    two_labels = {"class_labels": [1, 2], "output_type": "np"}
    pair = {"batch_size": 2, "output_type": "np"}
    text_encoder = {"text_encoder": Encoder()}
    embedding = SimpleNamespace(linear_1=SimpleNamespace(in_features=56))
    unet = Network(
        **of_size, time_cond_proj_dim=None, addition_time_embed_dim=8, attributes={"add_embedding": embedding}
    )
    flow, learned = "FlowMatchEulerDiscrete", {**SD, "variance_type": "learned_range", "clip_sample": False}
    transformer = {"vae": vae, "transformer": Network(**of_size, patch_size=2, attention_head_dim=8)}
    packed = {"vae": vae, "transformer": Network(16, axis=-1, guidance_embeds=False)}
    video = {"vae": vae, "transformer": Network(axis=-1, patch_size=1, patch_size_t=1)}

    yield Case("DDIMPipeline", "DDIM", {}, {**pair, "eta": 1.0}, {"unet": Network(3, **of_size)})
    yield Case("DDPMPipeline", "DDPM", {}, pair, {"unet": Network(3, **of_size)})
    yield Case("DiTPipeline", "DDIM", {}, two_labels, {"vae": vae, "transformer": Network(**of_size)})
    diffusion = {"vae": vae, "unet": unet}
    for name in ("DDIM", "DDPM", "DEISMultistep", "DPMSolverMultistep", "EulerAncestralDiscrete", "EulerDiscrete"):
        yield Case("StableDiffusionPipeline", name, SD, GUIDED, {**diffusion, **unchecked})
    for name in ("HeunDiscrete", "KDPM2AncestralDiscrete", "LMSDiscrete", "PNDM", "UniPCMultistep"):
        yield Case("StableDiffusionPipeline", name, SD, GUIDED, {**diffusion, **unchecked})
    yield Case("StableDiffusionPipeline", "DPMSolverSinglestep", SD, GUIDED, {**diffusion, **unchecked})
    yield Case("StableDiffusionPipeline", "KDPM2Discrete", SD, GUIDED, {**diffusion, **unchecked}, 8, NOT_A_NUMBER)
    from_image = {**PROMPT, **LATENT, **IMAGE}
    for name in ("DDIM", "DPMSolverMultistep", "EulerDiscrete", "HeunDiscrete", "LCM", "LMSDiscrete", "UniPCMultistep"):
        yield Case("StableDiffusionImg2ImgPipeline", name, SD, from_image, {**diffusion, **unchecked})
    skipping = {**SD, "skip_prk_steps": True, "steps_offset": 1}
    yield Case("StableDiffusionImg2ImgPipeline", "PNDM", skipping, from_image, {**diffusion, **unchecked})
    for name in ("StableDiffusionXLPipeline", "KolorsPipeline"):
        yield Case(name, "EulerDiscrete", SD, {**GUIDED, **POOLED}, diffusion)
    guided_unet = Network(**of_size, time_cond_proj_dim=8)
    yield Case("LatentConsistencyModelPipeline", "LCM", SD, PLAIN, {"vae": vae, "unet": guided_unet, **unchecked}, 4)
    consistency = {"unet": Network(3, **of_size, num_class_embeds=None)}
    yield Case("ConsistencyModelPipeline", "CMStochasticIterative", {}, pair, consistency)
    audio = Network(2, sample_size=64, sample_rate=16, attributes={"up_blocks": [1, 1]})
    yield Case("DanceDiffusionPipeline", "IPNDM", {}, {}, {"unet": audio})
    deep_floyd = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range", "thresholding": True}
    pixels = {**PROMPT, "height": 8, "width": 8, "output_type": "np"}
    yield Case("IFPipeline", "DDPM", deep_floyd, pixels, {"unet": Network(3, 6, **of_size), **unchecked})
    embedded = {"image_embeds": ONES, "negative_image_embeds": ONES * 0.5, **SIZE, "output_type": "np"}
    yield Case("KandinskyV22Pipeline", "DDPM", learned, embedded, {"unet": Network(4, 8), "movq": vae})

    prior = {"prior": Network(16, clip_image_in_channels=8), **text_encoder}
    decoder = {"decoder": Network(), "vqgan": vae, **text_encoder}
    large = {**CASCADE, "height": 256, "width": 256}
    yield Case("StableCascadePriorPipeline", "DDPMWuerstchen", {}, large, prior)
    decoded = {**CODES, **CASCADE, **LATENT, "guidance_scale": 2.0}
    yield Case("StableCascadeDecoderPipeline", "DDPMWuerstchen", {}, decoded, decoder)
    wuerstchen = {**decoder, "decoder": Network(returns_tensor=True), "tokenizer": Tokenizer()}
    prompted = {**CODES, **LATENT, "prompt": "a", "guidance_scale": 2.0}
    yield Case("WuerstchenDecoderPipeline", "DDPMWuerstchen", {}, prompted, wuerstchen)

    unbinned = {**GUIDED, **MASKS, "negative_prompt": None, "use_resolution_binning": False}
    pixart = {"vae": vae, "transformer": Network(4, 8, **of_size)}
    yield Case("PixArtAlphaPipeline", "DPMSolverMultistep", {}, unbinned, pixart)
    sana = {"vae": vae, "transformer": Network(**of_size, timestep_scale=1.0, guidance_embeds_scale=0.1)}
    yield Case("SanaPipeline", "DPMSolverMultistep", FLOW, unbinned, sana)
    sprint = {**PLAIN, "prompt_attention_mask": MASK, "use_resolution_binning": False}
    yield Case("SanaSprintPipeline", "SCM", {"prediction_type": "trigflow"}, sprint, sana, 2)
    yield Case(
        "LattePipeline", "DDIM", {}, {**GUIDED, "negative_prompt": None, "video_length": 4}, {**pixart, **text_encoder}
    )

    cogvideo = {"sample_height": 8, "sample_width": 8, "sample_frames": 9, "patch_size": 2, "patch_size_t": None}
    cogvideo = Network(axis=2, **cogvideo, use_rotary_positional_embeddings=False, attention_head_dim=8)
    zero_snr = {**SD, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    for name in ("CogVideoXDDIM", "CogVideoXDPM"):
        yield Case(
            "CogVideoXPipeline", name, zero_snr, {**GUIDED, "num_frames": 9}, {"vae": vae, "transformer": cogvideo}
        )
    velocity = {**SD, "prediction_type": "v_prediction"}
    yield Case("CogView3PlusPipeline", "CogVideoXDDIM", velocity, GUIDED, transformer)
    linear = {"use_dynamic_shifting": True, "time_shift_type": "linear", "base_shift": 0.25, "max_shift": 0.75}
    yield Case("CogView4Pipeline", flow, linear, GUIDED, {**transformer, **text_encoder})

    yield Case("StableDiffusion3Pipeline", flow, {"shift": 3.0}, {**GUIDED, **POOLED}, transformer)
    dynamic = {"use_dynamic_shifting": True}
    yield Case("FluxPipeline", flow, dynamic, {**PLAIN, "pooled_prompt_embeds": ONES}, packed)
    yield Case("ChromaPipeline", flow, {"use_beta_sigmas": True}, {**GUIDED, **MASKS}, packed)
    yield Case("QwenImagePipeline", flow, dynamic, {**PLAIN, "prompt_embeds_mask": MASK}, packed)
    yield Case("BriaPipeline", flow, dynamic, GUIDED, {**packed, **text_encoder})
    yield Case("AuraFlowPipeline", flow, {"shift": 1.73}, {**GUIDED, **MASKS}, transformer)
    yield Case("Lumina2Pipeline", flow, {"shift": 6.0}, {**GUIDED, **MASKS}, transformer)
    stretched = {"use_dynamic_shifting": True, "shift_terminal": 0.1}
    yield Case("LTXPipeline", flow, stretched, {**GUIDED, **MASKS, "num_frames": 9}, video)
    mochi = {"vae": vae, "transformer": Network(12)}
    yield Case("MochiPipeline", flow, {"invert_sigmas": True}, {**GUIDED, **MASKS, "num_frames": 7}, mochi)
    hunyuan = {**PLAIN, "num_frames": 5, "pooled_prompt_embeds": ONES, "prompt_attention_mask": MASK}
    yield Case("HunyuanVideoPipeline", flow, {"shift": 7.0}, hunyuan, transformer)
    wan = {"vae": vae, "transformer": Network(patch_size=(1, 2, 2), image_dim=None), **text_encoder}
    yield Case("WanPipeline", flow, {"shift": 3.0}, {**GUIDED, "num_frames": 5}, wan)
    yield Case("WanPipeline", "UniPCMultistep", FLOW, {**GUIDED, "num_frames": 5}, wan, 8, VERSION)

    cosmos = {"vae": vae, "transformer": Network(), "safety_checker": Checker(), **text_encoder}
    edm = {"sigma_max": 80.0, "sigma_min": 0.002, "final_sigmas_type": "sigma_min"}
    yield Case("CosmosTextToWorldPipeline", "EDMEuler", edm, {**GUIDED, "num_frames": 5, "prompt": None}, cosmos)
    karras = {"use_karras_sigmas": True, "sigma_max": 80.0, "sigma_min": 0.002, "final_sigmas_type": "sigma_min"}
    yield Case("Cosmos2TextToImagePipeline", flow, karras, {**GUIDED, "prompt": None}, cosmos)
    llama = {"prompt_embeds_llama3": text().unsqueeze(0), "negative_prompt_embeds_llama3": text(seed=1).unsqueeze(0)}
    hidream = {
        "prompt_embeds_t5": text(),
        "negative_prompt_embeds_t5": text(seed=1),
        **llama,
        **POOLED,
        **SIZE,
        **LATENT,
    }
    image = {"vae": vae, "transformer": Network(max_resolution=128, attributes={"max_seq": 64})}
    yield Case("HiDreamImagePipeline", flow, {"shift": 3.0}, hidream, image)
