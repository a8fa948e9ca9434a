"""What a model's statements about its own answers are worth on a split that it was not fitted on, and on pictures that are no radiographs.

Asks an exported SavedModel (signature `image_bytes`) about every image of a split, and prints: calibration error and log loss with and
without its temperature, coverage and size of the conformal sets, its operating points, and how many images it flags as unlike its
training images; the same images inverted, turned and cut, noise, drawn hands, and the photographs that scikit-learn and Matplotlib ship.
Intervals are 95 %, by a bootstrap over patients.

usage: python benchmarks/calibration.py SAVED_MODEL RECORDS [--split test]

SAVED_MODEL is a pushed version (workspace/cpu/serving_models/mobilenet/1795601477), RECORDS a folder that `cxr ingest` wrote. A minute for
MobileNet and 161 radiographs on 2 cores.
"""

import argparse
import glob
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_images

from cxr.core import features
from cxr.core.figures import Answers
from cxr.core.intervals import bootstrap_interval, share_interval
from cxr.core.resampling import patient_numbers, resampled
from cxr.core.support import images_of, quantile
from cxr.data.images.reader import GreyImage, encode
from cxr.trainer import model_info
from cxr.trainer.calibration import temperature
from cxr.trainer.calibration.reliability import measure

BATCH, EACH, SEED = 32, 20, 2021
Grey = np.ndarray  # uint8 [height, width]


def read(files: list[str]) -> dict[str, np.ndarray]:
    """Returns images (encoded), labels and patients' pseudonyms of records."""
    keys = (features.IMAGE, features.LABEL, features.PATIENT_ID)
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in keys}
    rows = [tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files, "GZIP")]
    return {key: np.array([row[key].numpy() for row in rows], dtype=object) for key in keys}


def ask(signature: Callable, images: list[bytes]) -> dict[str, np.ndarray]:
    """Returns the signature's outputs for encoded images."""
    answers = [signature(image_bytes=tf.constant(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    return {key: np.concatenate([answer[key].numpy() for answer in answers]) for key in answers[0]}


def hand(rng: np.random.Generator, size: int = 320) -> Grey:
    """Draws a hand: soft tissue, and bones in five fingers."""
    picture = Image.new("L", (size, size), 12)
    draw, x, y = ImageDraw.Draw(picture), size / 2 + rng.normal(0, 12), size * 0.68
    draw.ellipse([x - 62, y - 55, x + 62, y + 75], fill=110)
    draw.rectangle([x - 38, y + 50, x + 38, size], fill=105)
    for degrees, length in zip((-62, -28, -9, 11, 32), (95, 150, 168, 156, 122), strict=True):
        angle = np.deg2rad(degrees + rng.normal(0, 4))
        across, up = np.sin(angle), np.cos(angle)
        draw.line([x + 35 * across, y - 20 * up, x + length * across, y - length * up], fill=100, width=30)
        for part in (0.35, 0.62, 0.85):
            near, far = length * (part - 0.1), length * (part + 0.09)
            draw.line([x + near * across, y - near * up, x + far * across, y - far * up], fill=205, width=13)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(3)), np.float64)
    return np.clip(blurred + rng.normal(0, 4, blurred.shape), 0, 255).astype(np.uint8)


def crops(grey: Grey, count: int, rng: np.random.Generator) -> list[Grey]:
    """Cuts squares out of a picture."""
    found = []
    for _ in range(count):
        side = int(rng.uniform(0.4, 1) * min(grey.shape))
        y, x = (rng.integers(0, length - side + 1) for length in grey.shape)
        found.append(grey[y : y + side, x : x + side])
    return found


def other_pictures(radiographs: list[Grey]) -> dict[str, list[Grey]]:
    """Returns pictures that the model should flag (mirrored radiographs excepted), by kind."""
    rng = np.random.default_rng(SEED)
    photographs = [np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images]
    for file in sorted((Path(matplotlib.get_data_path()) / "sample_data").glob("*.jpg")):
        photographs.append(np.asarray(Image.open(file).convert("L")))
    coloured = rng.integers(0, 256, (EACH, 256, 256, 3), np.uint8)
    coarse = rng.integers(0, 256, (EACH, 8, 8), np.uint8)
    return {
        "photographs": photographs,
        "crops of the photographs": [crop for photograph in photographs for crop in crops(photograph, 10, rng)],
        "noise in colours": [np.asarray(Image.fromarray(noise).convert("L")) for noise in coloured],
        "smooth noise": [np.asarray(Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC)) for noise in coarse],
        "drawn hands": [hand(rng) for _ in range(EACH)],
        "radiographs, inverted": [255 - grey for grey in radiographs],
        "radiographs, upside down": [grey[::-1] for grey in radiographs],
        "radiographs, turned by 90 degrees": [np.rot90(grey) for grey in radiographs],
        "a quarter of each radiograph": [grey[len(grey) // 2 :, grey.shape[1] // 2 :] for grey in radiographs],
        "radiographs, mirrored": [grey[:, ::-1] for grey in radiographs],
    }


def print_figures(info: model_info.ModelInfo, answers: dict[str, np.ndarray], labels: np.ndarray, patients: np.ndarray) -> None:
    """Prints what can be said of labelled images."""
    after = answers[features.PROBABILITIES]
    numbers, count = patient_numbers(patients)
    draws = np.concatenate(list(resampled(Answers(numbers, labels, after), lambda weights: weights)))

    def share(right: np.ndarray, of: np.ndarray | None = None) -> str:
        """Says in how many of all images, or of those that `of` marks, something is right."""
        among = np.ones(len(labels), bool) if of is None else of
        with np.errstate(invalid="ignore"):  # a draw without any of them
            drawn = draws @ (right & among) / (draws @ among)
        value = float(right[among].mean())
        images = images_of(numbers[among])
        return f"{value:.3f} ({share_interval(value, drawn, len(images), quantile(images))})"

    print(f"{len(labels)} images of {count} patients; right: {share(after.argmax(axis=1) == labels)}")
    if info.calibration:
        before = temperature.apply(after, 1 / info.calibration.temperature)
        for when, p in (("without", before), ("with", after)):
            drawn = [measure(np.repeat(p, d, axis=0), np.repeat(labels, d)) for d in draws[:200].astype(int)]
            z = quantile(images_of(numbers))
            error, loss = (bootstrap_interval([getattr(r, f) for r in drawn], count, z) for f in ("calibration_error", "log_loss"))
            found = measure(p, labels)
            print(
                f"{when} its temperature {info.calibration.temperature:.3f}: calibration error {found.calibration_error:.3f} ({error}), "
                f"log loss {found.log_loss:.3f} ({loss}), mean confidence {p.max(axis=1).mean():.3f}"
            )
    if info.conformal:
        sets = answers[features.CONFORMAL_SET]
        inside, sizes = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
        print(
            f"conformal sets for {info.conformal.coverage:g}: hold the class {share(inside)}, {sizes.mean():.2f} classes on average", end=""
        )
        print(f", one class {np.mean(sizes == 1):.2f}, all classes {np.mean(sizes == len(info.class_names)):.2f}")
    for name, points in info.operating_points.items():
        index = info.class_names.index(name)
        for point in points:
            called, own = after[:, index] >= point.threshold, labels == index
            text = f"sensitivity {share(called, own)}, specificity {share(~called, ~own)}"
            print(f"{name}, {point.at_least} {point.demanded:g} chosen on the validation split (from {point.threshold:.3f} on): {text}")
    if features.OUTSIDE in answers:
        print(f"flagged as outside: {share(answers[features.OUTSIDE])}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saved_model")
    parser.add_argument("records", type=Path)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    info = model_info.read_info(options.saved_model)
    rows = read(sorted(glob.glob(str(options.records / options.split / "*"))))
    signature = tf.saved_model.load(options.saved_model).signatures[features.SIGNATURE_BYTES]
    labels = np.array([info.class_names.index(label.decode()) for label in rows[features.LABEL]])
    print(f"{info.name}, {options.split} split")
    print_figures(info, ask(signature, list(rows[features.IMAGE])), labels, rows[features.PATIENT_ID])
    if info.outside is None or info.outside.flagged is None:
        return
    radiographs = [np.asarray(Image.open(io.BytesIO(data)).convert("L")) for data in rows[features.IMAGE]]
    for kind, pictures in other_pictures(radiographs).items():
        answers = ask(signature, [encode(GreyImage(np.ascontiguousarray(grey), "jpeg", grey.shape)) for grey in pictures])
        flagged, confidence = answers[features.OUTSIDE], answers[features.PROBABILITIES].max(axis=1).mean()
        print(f"{kind}: {flagged.sum()} of {len(pictures)} flagged ({flagged.mean():.2f}); mean confidence {confidence:.2f}")


if __name__ == "__main__":
    main()
