"""Typed settings and their checks; nothing here imports torch."""
