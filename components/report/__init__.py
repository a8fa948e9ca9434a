"""report.html: everything that a run knows, in one file for people to look at. docs/report.md says what is in it and why."""
