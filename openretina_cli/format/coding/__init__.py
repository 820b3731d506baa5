"""Codings that several formats share."""
