"""What all schedulers share: arguments and configurations, the step by row or by timestep, the noise levels."""
