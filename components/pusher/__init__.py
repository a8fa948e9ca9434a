"""Pushes a blessed model as a whole, with its record, and makes it the champion."""
