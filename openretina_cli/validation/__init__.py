"""Judges optimised stimuli by the simulated retina, or by members of an ensemble that were held out."""
