"""The command as functions of Python: the same settings, the same runs, the same folders; see docs/python.md."""
