"""Formats of `openretina export`: an option NAME of `format=NAME` is the file NAME.py here."""
