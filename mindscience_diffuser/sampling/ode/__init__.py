"""A model and a plan as an ordinary differential equation: run towards noise, with and without its divergence."""
