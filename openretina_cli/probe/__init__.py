"""Standard stimuli, one file each; a file computes what is shown and what follows from the responses."""
