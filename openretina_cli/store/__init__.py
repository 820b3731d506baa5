"""The run folder on disk: its file names, the reader of its files as untrusted data, and the finder of runs."""
