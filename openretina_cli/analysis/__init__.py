"""Numbers of stimuli and responses: pure functions."""
