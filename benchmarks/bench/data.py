"""What the rows measure on: images, and what the package makes of them, each part made when a row first asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from PIL import Image
from rich.console import Console
from trainer_settings import trainer_settings

from bench.links import manifest_of
from cxr.core import features
from cxr.core.machine import cores
from cxr.core.places import SERVING
from cxr.data.demo.generate import make_demo_data
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.rows import Row, uniform
from cxr.data.ingest.sources import discover
from cxr.trainer.model_config import Model, Stage

DRAWN, SIDE = 24, 512  # pictures that are made up, and their height and width
SIZE = 224  # pixels of what networks get
SPLIT = "train"  # that steps are measured on
SYNTHETIC = f"synthetic, {SIDE}x{SIDE}, half of them PNG, half JPEG"
OWN = "given by --images"
GROWTH = (1, 3, 10)  # times the images


@dataclass(frozen=True)
class Data:
    """A folder for one run of the benchmarks.

    Attributes:
      folder: Of all that is made.
      count: Images of most rows: three times those that growth begins with.
      images: A source as `cxr ingest` takes it; None: made-up pictures.
    """

    folder: Path
    count: int
    images: Path | None = None

    def source(self, times: int = 3) -> Path:
        """A folder with a manifest of `times` a third of the images."""
        return self._once(f"source{times}", lambda folder: manifest_of(self._rows(), times * self.count // 3, folder))

    def records(self, times: int = 3) -> Path:
        """What ingest made of `source(times)`."""
        return self._once(f"records{times}", lambda folder: self.ingest(self.source(times), folder))

    def ingest(self, source: Path, out: Path) -> None:
        """Ingests as `cxr ingest` does, on all cores."""
        from cxr.data.ingest.ingest import ingest

        # What is no true copy but has another label must not end the benchmark.
        config = Ingest(workers=cores(), label_conflicts="drop")
        ingest(source, out, config, key_file=self.folder / "pseudonym.key", console=Console(quiet=True))

    def transform(self) -> Path:
        """A TransformGraph artifact."""
        from cxr.pipeline.analysis import write_transform_graph

        config = {"class_names": list(features.CLASS_NAMES), "image_size": SIZE, "preprocessing": {}}
        return self._once("transform", lambda folder: write_transform_graph([f"{self.records()}/{SPLIT}/*"], str(folder), config))

    def files(self) -> Path:
        """The images of a split, byte for byte as the records hold them, in a folder per class."""
        import tensorflow as tf

        def write(folder: Path) -> None:
            spec = {name: tf.io.FixedLenFeature([], tf.string) for name in (features.IMAGE, features.LABEL, features.FORMAT)}
            shards = [str(file) for file in sorted((self.records() / SPLIT).iterdir())]
            for number, record in enumerate(tf.data.TFRecordDataset(shards, compression_type="GZIP")):
                image, label, kind = (tf.io.parse_single_example(record, spec)[name].numpy() for name in spec)
                file = folder / label.decode() / f"{number:06d}.{kind.decode()}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(image)

        return self._once("files", write)

    def model(self) -> Path:
        """A Model artifact: a MobileNet with random weights and a head that learnt for an epoch, exported as a run does it."""
        from cxr.trainer.run_fn import run_fn

        def train(folder: Path) -> None:
            run_fn(
                SimpleNamespace(
                    train_files=[f"{self.records()}/{SPLIT}/*"],
                    eval_files=[f"{self.records()}/val/*"],
                    transform_output=str(self.transform()),
                    serving_model_dir=str(folder / SERVING),
                    model_run_dir=str(self.folder / "model_run"),
                    custom_config=trainer_settings(mobilenet(1)),
                )
            )

        return self._once("model", train)

    def _rows(self) -> list[Row]:
        """Those of the images there are, in an order that mixes the classes, and is the same every time."""
        source = self.images.absolute() if self.images else self._once("drawn", _draw)
        return sorted(discover(source, Ingest(listed_twice="merge")).rows, key=lambda row: uniform(0, row.name))

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        folder = self.folder / name
        if not folder.exists():
            partial = folder.with_name(f"{name}.partial")
            make(partial)
            partial.rename(folder)  # a row that fails while it makes this leaves no half of it to the next
        return folder


def mobilenet(epochs: int) -> Model:
    """A frozen MobileNet with random weights whose head learns for some epochs, and nothing else: what a script without us would do too."""
    return Model(backbone="MobileNet", weights="none", head_training=Stage(epochs=epochs), outside_share=None)


def _draw(folder: Path) -> None:
    """Makes up radiographs; every other one becomes a JPEG."""
    manifest = make_demo_data(folder, images=DRAWN, image_size=SIDE, seed=1, console=Console(quiet=True))
    for number, file in enumerate(sorted((folder / "images").iterdir())):
        if number % 2:
            Image.open(file).save(file.with_suffix(".jpg"), quality=90)
            manifest.write_text(manifest.read_text(encoding="utf-8").replace(file.name, f"{file.stem}.jpg"), encoding="utf-8")
            os.unlink(file)
