"""Lightning checkpoints of openretina's core + readout family: read as data, rebuilt from a table of known classes."""
