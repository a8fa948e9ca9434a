"""report.html: everything that a run knows, in one file for people to look at."""
