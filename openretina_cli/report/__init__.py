"""What came out of many runs: a table, all stimuli in one file, and a page to look through them."""

from openretina_cli.report.write import ReportFiles, write_report

__all__ = ["ReportFiles", "write_report"]
