"""From checked settings to the objects that a run is made of."""
