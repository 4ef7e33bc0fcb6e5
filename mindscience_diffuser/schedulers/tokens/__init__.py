"""Schedulers of tokens: categorical data, drawn by probabilities in place of Gaussian noise."""
