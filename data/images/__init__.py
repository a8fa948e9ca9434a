"""Reading radiographs: files of every accepted kind to upright grey pixels."""
