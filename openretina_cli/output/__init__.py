"""The files that a run leaves in its folder: an option of `output=[...]` each, and what they are made with."""
