"""The run folder on disk: how files appear whole, what makes a run current, the reader and the finder."""
