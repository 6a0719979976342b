"""The one trainer: sources, objectives, optimizers, schedules, precision, checkpoints, probes."""
