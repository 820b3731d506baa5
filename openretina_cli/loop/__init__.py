"""The loop: many problems as one stack; it knows no file, no setting and no class of models."""
