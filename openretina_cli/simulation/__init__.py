"""A simulated mouse retina with a known truth, its movies, and the twins that are trained on it."""
