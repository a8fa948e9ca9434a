"""Synthetic chest radiographs: `cxr demo-data`."""

SEVERITY = (0.3, 1.0)  # of the diseases where nothing else is asked for: from subtle to severe
