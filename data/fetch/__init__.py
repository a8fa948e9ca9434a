"""Public collections: downloaded or found in a folder, and brought into the form that `cxr ingest` takes."""
