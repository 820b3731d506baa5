"""The folder of a run on disk: how files appear, and how they are read back."""
