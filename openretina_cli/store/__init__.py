"""The run folder on disk: how files appear whole, the reader of files as untrusted data, and the finder of runs."""
