"""The figure of a run: one page of panels."""
