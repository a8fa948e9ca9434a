"""Files of any filesystem that `tf.io.gfile` knows: artifacts lie on such."""

from __future__ import annotations

import tensorflow as tf


def read_bytes(path: str) -> bytes:
    """Returns the contents of a file of any filesystem that `tf.io.gfile` knows."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def write_bytes(path: str, contents: bytes) -> None:
    """Writes a file, with its folders, on any filesystem that `tf.io.gfile` knows."""
    make_parent(path)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(contents)


def copy_folder(source: str, target: str) -> None:
    """Copies the files of a folder, of any filesystem that `tf.io.gfile` knows."""
    for folder, _, files in tf.io.gfile.walk(source):
        inside = folder.rstrip("/")[len(source.rstrip("/")) :]
        tf.io.gfile.makedirs(f"{target}{inside}")
        for file in files:
            tf.io.gfile.copy(f"{folder.rstrip('/')}/{file}", f"{target}{inside}/{file}", overwrite=True)


def make_parent(path: str) -> None:
    """Makes the folder that a file will lie in."""
    tf.io.gfile.makedirs(path.rsplit("/", 1)[0])
