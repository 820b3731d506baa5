"""Many runs: expand, group, launch, resume, report."""
