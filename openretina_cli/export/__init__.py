"""Stimuli for a stimulator: levels, geometry, time and order, written by a format, decoded and asked again."""
