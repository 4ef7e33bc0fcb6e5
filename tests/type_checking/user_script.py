# pyright: strict, reportMissingTypeStubs=false
"""What a user writes, in which a type checker must find no error: MindSpore's own functions have no types."""

from mindspore import Tensor
from models import Denoiser, sample_of

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionTrainer,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchingTrainer,
    NoiseSource,
    Sampler,
    Scheduler,
    StudentTNoise,
    TCDScheduler,
    UniPCMultistepScheduler,
    compat,
)
from mindscience_diffuser.schedulers import SchedulerOutput

model, sample = Denoiser(), sample_of(2)
schedulers: list[Scheduler] = []

ddim = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False)
ddim.set_timesteps(50)
sample = ddim.step(sample, sample, 980, eta=0.5, generator=NoiseSource(0, 2))
result: SchedulerOutput = ddim.step(sample, sample, 960, return_dict=True)
clean: Tensor = result.pred_original_sample
noisy: Tensor = ddim.add_noise(sample, sample, 3)

euler = EulerDiscreteScheduler(num_train_timesteps=1000, use_karras_sigmas=True)
euler.set_timesteps(timesteps=[999, 500, 0])
for timestep in euler.timesteps:
    scaled = euler.scale_model_input(sample, timestep)
    sample = euler.step(model.construct(scaled, sample), sample, timestep, s_churn=0.1, generator=0)
levels = euler.sigmas[:-1].sum()

solver = DPMSolverMultistepScheduler(solver_order=3, algorithm_type="sde-dpmsolver++", final_sigmas_type="zero")
solver.set_timesteps(20)
sample = solver.step(sample, sample, float(solver.timesteps[0]), noise=sample)
uni_pc = UniPCMultistepScheduler.from_config(solver.config, solver_order=2)
uni_pc.set_timesteps(10)

flow = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=False)
flow.set_timesteps(sigmas=[1.0, 0.5])
denoised = TCDScheduler().step(sample, sample, 999, eta=0.2, return_dict=True).pred_noised_sample
edm = EDMEulerScheduler(sigma_data=[0.5, 1.0, 2.0])
edm.set_timesteps(18)

guided = ClassifierFreeGuidance(model, guidance_scale=4.0, unconditional=sample_of(1), interval=(200, 800))
sampler = Sampler(guided, ddim, method="unrolled", noise_law=StudentTNoise(5.0), eta=1.0)
noise = sampler.initial_noise((2, 4), generator=0)
drawn: Tensor = sampler(noise, sample, generator=NoiseSource(1, samples=2))
sampler.select_steps(strength=0.5)
for scheduler in (ddim, euler, solver, flow, edm):
    sample = Sampler(model, scheduler)(noise, sample)
    schedulers.append(scheduler)

trainer = DiffusionTrainer(model, DDPMScheduler(), objective="pred_noise", loss_type="l2", min_snr_gamma=5.0)
loss = trainer.get_loss(sample, noise, sample, condition=sample)
loss = trainer(sample, noise, sample)
loss = FlowMatchingTrainer(model, flow).get_loss(sample, noise, sample)

loaded = Scheduler.from_pretrained("checkpoint", subfolder="scheduler")
loaded.save_pretrained("elsewhere")
peer = compat.EulerDiscreteScheduler(beta_start=0.001, trained_betas=None)
peer.set_timesteps(num_inference_steps=10, device=None)
sample = peer.step(sample, 900, sample, return_dict=False)[0]
sample = Sampler(model, peer.native)(noise)
