"""Find the video that a cell of a digital-twin retina likes best."""
