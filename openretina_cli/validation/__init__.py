"""Are optimised stimuli what they claim to be? Asked of the simulated retina, and of members held out."""
