"""Generation and scoring over a live module: batches, sampling, log-probabilities."""
