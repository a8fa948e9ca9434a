"""Fuzz targets: what people write as text. Manifests, configurations, lists of models."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from importlib import resources as package_files
from pathlib import Path
from random import Random
from typing import Any

import yaml

from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.sources import discover
from cxr.kubeflow.cluster import load_cluster
from cxr.pipeline.pipeline_config import load
from cxr.serving import models_config
from cxr.serving.server.errors import ServingError
from cxr.serving.server.served_models import aspired_versions, validate

from .harness import Target
from .pictures import image_seeds

_SHIPPED = Path(package_files.files("cxr.pipeline") / "configs")  # type: ignore[arg-type] # a folder, as the project is installed
_COLUMNS = ("image", "label", "patient_id", "split", "source", "view", "sex", "age", "license", "mask", "Image", "", "image ")
_CELLS = (
    *("a.png", "b.png", "../a.png", "/etc/passwd", "a\0.png", "normal", "covid19", "pneumonia", "Normal", "train", "test", ""),
    *("54", "054Y", "nan", "1e999", "-1", "٣", "F", "x" * 5000, "=1+1", "\x1b[31m", "[bold]", 'say "x"', "a,b", "two\nlines", "\ud7ff"),
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../..",
    [],
    {},
    [None],
    {"a": 1},
    {1: 2},
    "\x85",
)
_MODELS = b"""model_config_list {
  config { name: "ensemble" base_path: "%s" model_platform: "tensorflow" model_version_policy { specific { versions: 1 versions: 2 } }
           version_labels { key: "stable" value: 1 } }
  config { name: "other" base_path: "%s" model_platform: "tensorflow" model_version_policy { latest { num_versions: 2 } } }
}
"""


def manifest_target() -> Target:
    """A manifest beside two images, as `cxr ingest` takes it."""
    folder = _folder()
    for name, picture in zip(("a.png", "b.png"), image_seeds(), strict=False):
        (folder / name).write_bytes(picture)
    plain = "image,label,patient_id,split,sex,age\na.png,normal,7,train,F,054Y\nb.png,covid19,Müller,,M,\n"
    seeds = (plain.encode(), plain.replace(",", ";").encode("utf-16"), b"sep=\t\n" + plain.replace(",", "\t").encode("cp1252"))

    def read(file: Path) -> None:
        for options in ({}, {"listed_twice": "merge", "paths_outside": "allow", "class_names": ("normal", "covid19")}):
            with contextlib.suppress(CxrError):
                discover(file, Ingest.model_validate(options))

    return Target(_of_file(folder / "m.csv", read), seeds, _made_manifest)


def configuration_target() -> Target:
    """A configuration file."""
    texts = [file.read_bytes() for file in sorted(_SHIPPED.glob("*.yaml"))]
    trees = [yaml.safe_load(text) for text in texts]
    small = b"name: x\nmodels: {a: {backbone: MobileNet}}\nensemble: null\ngate: {}\n"

    def read(file: Path) -> None:
        with contextlib.suppress(CxrError):
            load(str(file)).to_yaml()

    return Target(_of_file(_folder() / "c.yaml", read), (*texts, small, _bomb()), lambda rng: _made_configuration(rng, trees))


def override_target() -> Target:
    """What `cxr run` takes behind a configuration's name; and the same bytes as a cluster file."""
    small = _folder() / "small.yaml"
    small.write_bytes(b"name: x\nmodels: {a: {backbone: MobileNet}}\nensemble: null\n")

    def read(file: Path) -> None:
        with contextlib.suppress(CxrError, UnicodeDecodeError):
            load(str(small), file.read_bytes().decode().split("\0"))
        with contextlib.suppress(CxrError):
            load_cluster(file)

    cluster = (package_files.files("cxr.kubeflow") / "cluster.yaml").read_bytes()
    seeds = (
        b"gate.tolerance=0",
        b"models.a.head_training.epochs=3\0defaults.weights=none",
        b"defaults={}",
        b"a.b.c=[1, 2]",
        cluster,
        _bomb(),
    )
    return Target(_of_file(_folder() / "c.yaml", read), seeds)


def models_config_target() -> Target:
    """A models.config: parsed, checked, its folders looked at."""
    folder = _folder()
    (folder / "1").mkdir()
    base = str(folder).encode()

    def read(file: Path) -> None:
        with contextlib.suppress(CxrError, ServingError):
            for model in validate(models_config.read(file), {}):
                aspired_versions(model)

    return Target(_of_file(folder / "models.config", read), (_MODELS % (base, base), b"custom_model_config {}"))


def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def _of_file(file: Path, read: Callable[[Path], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        file.write_bytes(data)
        read(file)

    return run


def _bomb() -> bytes:
    """Aliases of aliases: a kilobyte that would be written out as terabytes."""
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [b"%c: &%c [%s]" % (letter + 1, letter + 1, b",".join([b"*%c" % letter] * 9)) for letter in range(ord("a"), ord("n"))]
    return b"\n".join(lines)


def _made_manifest(rng: Random) -> bytes:
    """A table of odd cells under odd columns, well-formed."""
    columns = ["image", "label", *rng.sample(_COLUMNS[2:], rng.randint(0, 6))]
    rng.shuffle(columns)
    cells = [[rng.choice(_CELLS) for _ in columns] for _ in range(rng.randint(0, 6))]
    separator = rng.choice(",;\t")
    lines = (
        separator.join(f'"{cell}"'.replace('"', '""')[1:-1] if rng.random() < 0.7 else cell for cell in row) for row in [columns, *cells]
    )
    return "\n".join(lines).encode(rng.choice(("utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def _made_configuration(rng: Random, trees: list[Any]) -> bytes:
    """A shipped configuration of which some values became others."""
    tree = yaml.safe_load(yaml.safe_dump(rng.choice(trees)))
    for _ in range(rng.randint(1, 3)):
        place, parent = tree, None
        while isinstance(place, (dict, list)) and place and (parent is None or rng.random() < 0.8):
            key = rng.choice(sorted(place, key=str)) if isinstance(place, dict) else rng.randrange(len(place))
            parent, place = place, place[key]
        if parent is not None:
            parent[key] = rng.choice(_VALUES)
            if isinstance(parent, dict) and rng.random() < 0.2:
                parent[rng.choice(("x", "defaults", "models", "<<"))] = rng.choice(_VALUES)
    if rng.random() < 0.2:
        tree["defaults"] = rng.choice(_VALUES)
    return yaml.safe_dump(tree, allow_unicode=True).encode()
