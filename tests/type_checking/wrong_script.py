# pyright: strict, reportMissingTypeStubs=false
"""Mistakes that a type checker must find: each line that ends in the name of a rule, and no other one."""

from models import Denoiser, sample_of

import mindscience_diffuser
from mindscience_diffuser import (
    ClassifierFreeGuidance,
    DDIMScheduler,
    DiffusionTrainer,
    EulerDiscreteScheduler,
    NoiseSource,
    Sampler,
    compat,
)

model, sample = Denoiser(), sample_of(2)
scheduler = mindscience_diffuser.DDIMSheduler()  # wrong: reportAttributeAccessIssue
scheduler = DDIMScheduler(beta_schedual="linear")  # wrong: reportCallIssue
scheduler = DDIMScheduler(beta_schedule="lineer")  # wrong: reportArgumentType
scheduler = DDIMScheduler(num_train_timesteps="1000")  # wrong: reportArgumentType
scheduler = DDIMScheduler(clip_sample=None)  # wrong: reportArgumentType
scheduler.set_timesteps(50.5)  # wrong: reportArgumentType
scheduler.set_timesteps(num_steps=50)  # wrong: reportCallIssue
scheduler.step(sample, [0.0], 980)  # wrong: reportArgumentType
euler = EulerDiscreteScheduler()
euler.step(sample, sample, 980, s_chrun=0.1)  # wrong: reportCallIssue
sample = euler.step(sample, sample, 980, return_dict=True).denoised  # wrong: reportAttributeAccessIssue
Sampler(model, scheduler, method="lop")  # wrong: reportArgumentType
Sampler(model, scheduler, noise_law="student")  # wrong: reportArgumentType
Sampler("model", scheduler)  # wrong: reportArgumentType
Sampler(model, scheduler)(sample, generator=0.5)  # wrong: reportArgumentType
ClassifierFreeGuidance(model, guidance_scale="4", unconditional=sample)  # wrong: reportArgumentType
ClassifierFreeGuidance(model, 4.0)  # wrong: reportCallIssue
DiffusionTrainer(model, scheduler, objective="noise")  # wrong: reportArgumentType
DiffusionTrainer(model, scheduler).get_loss(sample, sample)  # wrong: reportCallIssue
NoiseSource(0, 2, streem=1)  # wrong: reportCallIssue
compat.EulerDiscreteScheduler(beta_strat=0.001)  # wrong: reportCallIssue
compat.EulerDiscreteScheduler(beta_start="0.001")  # wrong: reportArgumentType
compat.DDIMScheduler().step(sample, 980, [0.0])  # wrong: reportArgumentType
compat.DDIMScheduler().set_timesteps(num_steps=50)  # wrong: reportCallIssue
