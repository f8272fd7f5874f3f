"""Checkpoint files: the published .ckpt form, our safetensors form, their validation."""
