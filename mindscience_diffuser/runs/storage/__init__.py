"""What a run leaves and goes on from: weights, checkpoints, samples in numbered files."""
