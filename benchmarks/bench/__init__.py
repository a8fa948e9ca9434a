"""`make bench`: each step beside what it replaces, and beside what it cannot be faster than, in one table of ratios.

A row (rows/) has our side and others; runner.py has them take turns, results.py keeps what they came to, compare.py sets two such files
side by side.
"""

from pathlib import Path

KEPT = Path("workspace/bench")  # below the folder that make is called in
