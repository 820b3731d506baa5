"""Draws the pictures of runs, in processes of their own, and keeps them in the folders."""
