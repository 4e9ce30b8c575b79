"""SFT and GRPO by the TRL trainers, resumable to the bit."""
