"""The stimulus as a video: its frames, their file, and a player for notebooks."""
