"""The verdicts of a candidate's three checks (gate, infrastructure, shortcuts), read back together."""
