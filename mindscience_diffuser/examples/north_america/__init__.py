"""Refinement of coarse fields of temperature over North America, from the output of a climate model."""
