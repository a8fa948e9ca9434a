"""One pass over the examples: how many of what there are, a few pictures of each class, and those that were asked for."""

from __future__ import annotations

import base64
import heapq
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.components.explanation.result import HeatMaps
from cxr.components.metrics.answers import image_number
from cxr.components.report.page.content import Overlay, Picture
from cxr.core import features
from cxr.data.example_columns import columns, files_of
from cxr.data.images.overlays import overlay
from cxr.data.images.small import small

SAMPLES = 4  # pictures shown of each class
SIDE = 224  # pixels, longest side of a picture on the page
_QUALITY = 78  # of JPEG: 5 to 9 KB a picture


@dataclass
class Seen:
    """What the pass found.

    Attributes:
      images: split, class, source: images.
      patients: split: pseudonyms of its patients.
      samples: of the first split, the same ones whatever order the records come in.
      found: number of an image that was asked for: its picture.
      sources: the same: its source, pictures or not.
      overlays: the same: its heat map, where there is one.
    """

    images: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    patients: dict[str, set[bytes]] = field(default_factory=dict)
    samples: tuple[Picture, ...] = ()
    found: dict[int, Picture] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)
    overlays: dict[int, Overlay] = field(default_factory=dict)


def look_through(
    splits: Mapping[str, str],
    class_names: Sequence[str],
    wanted: Collection[int] = (),
    wanted_split: str = "",
    maps: HeatMaps | None = None,
    *,
    pictures: bool = True,
) -> Seen:
    """Reads all examples once, a few at a time.

    Args:
      splits: Name to folder of TFRecords; samples are taken of the first.
      class_names: In the order of the page.
      wanted: Numbers of images to look for.
      wanted_split: Where they are.
      maps: Heat maps of some of them.
      pictures: Make pictures of what is found; else only count.
    """
    seen, numbers = Seen(), set(wanted)
    places = {int(number): place for place, number in enumerate(maps.images)} if maps else {}
    drawn: dict[str, list[tuple[int, bytes, str]]] = {name: [] for name in class_names}
    sampled = next(iter(splits), "")
    for split, folder in splits.items():
        patients = seen.patients.setdefault(split, set())
        for image, label, source, content_hash, patient in _examples(folder):
            seen.images[split, label, source] += 1
            patients.add(patient)
            number = image_number(content_hash)
            if split == wanted_split and number in numbers and number not in seen.sources:
                seen.sources[number] = source
                if pictures:
                    seen.found[number] = Picture(small_jpeg(image), label, source, split)
                    if maps and (place := places.get(number)) is not None:
                        seen.overlays[number] = _overlay(image, maps.heats[place], class_names[maps.classes[place]])
            if pictures and split == sampled and label in drawn:
                _keep_smallest(drawn[label], (-number, image, source))
    seen.samples = tuple(
        Picture(small_jpeg(image), label, source, sampled)
        for label, kept in drawn.items()
        for _, image, source in sorted(kept, reverse=True)
    )
    return seen


def small_jpeg(encoded: bytes) -> str:
    """Returns a grey picture, scaled down and without any metadata, as base64.

    Args:
      encoded: JPEG or PNG.
    """
    return _base64(small(encoded, SIDE))


def _overlay(encoded: bytes, heat: npt.NDArray[np.float32], explained: str) -> Overlay:
    return Overlay(_base64(overlay(np.asarray(small(encoded, SIDE)), heat, explained)), explained, not heat.any())


def _base64(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _keep_smallest(heap: list[tuple[int, bytes, str]], item: tuple[int, bytes, str]) -> None:
    """Keeps the SAMPLES images with the smallest numbers, which are as good as random and never change."""
    if item in heap:
        return
    (heapq.heappush if len(heap) < SAMPLES else heapq.heappushpop)(heap, item)


def _examples(folder: str) -> Iterator[tuple[bytes, str, str, bytes, bytes]]:
    defaults = {
        features.IMAGE: None,
        features.LABEL: None,
        features.SOURCE: features.UNKNOWN,
        features.CONTENT_HASH: "",
        features.PATIENT_ID: "",
    }
    for batch in columns(files_of([f"{folder}/*"]), defaults):
        for image, label, source, content_hash, patient in zip(*batch, strict=True):
            yield image, label.decode(), source.decode(), content_hash, patient
