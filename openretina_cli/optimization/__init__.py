"""Objectives, constraints, penalties, stoppers, and the loop that uses them."""
