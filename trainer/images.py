"""Image files to 8-bit grey pixels."""

MAX_PIXELS = 100_000_000
