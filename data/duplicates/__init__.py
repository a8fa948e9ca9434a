"""Finds pictures of the same radiograph, whatever was done to them since: rescaled, recompressed, brightened, cropped, framed, mirrored."""
