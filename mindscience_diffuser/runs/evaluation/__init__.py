"""How close samples are to real data."""
