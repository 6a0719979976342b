"""From a base model to an assistant: SFT, preferences, reward model, PPO, DPO, best-of-n."""
