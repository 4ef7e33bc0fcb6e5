"""Real handwritten digits, small enough to train on in minutes."""
