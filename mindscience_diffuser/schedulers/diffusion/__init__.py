"""Schedulers of the discrete diffusion process: DDPM, DDIM and what follows their timesteps."""
