"""What a person sees: the console, the progress bar, tables; only here is rich imported."""
