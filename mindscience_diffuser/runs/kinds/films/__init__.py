"""Kinds of runs whose data are films: a world model, and the assimilation of measurements with it."""
