"""From finished runs to findings: who else responds to a stimulus, and how a cell is tuned around it."""
