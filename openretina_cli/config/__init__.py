"""Typed settings, their checks, and the one door from settings to objects; nothing here imports torch at its top."""
