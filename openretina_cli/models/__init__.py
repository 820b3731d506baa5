"""Checkpoint files in, a callable retina out."""
