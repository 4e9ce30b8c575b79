"""SFT and GRPO with TRL's trainers; an interrupted training resumes to bit-identical weights."""
