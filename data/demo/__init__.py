"""Synthetic chest radiographs: `cxr demo-data`."""
