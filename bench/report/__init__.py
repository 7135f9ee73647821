"""A finished study as one page that opens anywhere, with its figures as images."""

from bench.report.report import PAGE, Report, write

__all__ = ["PAGE", "Report", "write"]
