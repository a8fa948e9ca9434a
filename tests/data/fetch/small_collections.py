"""Small folders laid out as the public collections are, with pictures of noise."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

IEEE8023_HEADER = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,needed_supplemental_O2,"
    "extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,view,modality,date,location,folder,filename,"
    "doi,url,license,clinical_notes,other_notes,"
)
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,Height],"
    "OriginalImagePixelSpacing[x,y],\n"
)


def picture(seed: int, kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 40)).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def ieee8023(folder: Path) -> list[str]:
    """Twelve usable images, four of each class; and one CT, a lateral view, tuberculosis, one listed twice, one without a file."""
    findings = {"Pneumonia/Viral/COVID-19": 4, "Pneumonia/Bacterial/Streptococcus": 4, "No Finding": 4}
    rows: list[dict[str, str]] = []
    for finding, count in findings.items():
        for _ in range(count):
            k = len(rows)
            rows.append(
                {"patientid": str(k), "sex": "M" if k % 2 else "", "age": "181" if k == 3 else "54", "finding": finding}
                | {"view": ("PA", "AP", "AP Supine")[k % 3], "modality": "X-ray", "folder": "images", "filename": f"case {k}-é.jpeg"}
                | {"license": "" if k == 0 else "CC BY-NC-SA", "clinical_notes": 'says "crackles",\nand more'}
            )
    rows += [
        rows[1],
        rows[1] | {"filename": "ct.png", "modality": "CT", "view": "Axial"},
        rows[1] | {"filename": "lateral.png", "view": "L"},
        rows[1] | {"filename": "tb.png", "finding": "Tuberculosis"},
        rows[1] | {"filename": "gone.png"},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, IEEE8023_HEADER.split(","), restval="")
        writer.writeheader()
        writer.writerows(rows)
    names = sorted({row["filename"] for row in rows} - {"gone.png"})
    for seed, name in enumerate(names):
        write(folder / "images" / name, picture(seed, "jpeg" if name.endswith("jpeg") else "png"))
    write(folder / "annotations" / "lungVAE-masks" / "case 0-é_mask.png", picture(99))
    return names


def kaggle_covid(folder: Path) -> None:
    """Three images of each class and subset; of the same names in both subsets."""
    for subset in ("train", "test"):
        for k in range(3):
            seed = 10 * k + (subset == "test")
            write(folder / "xray_dataset_covid19" / subset / "NORMAL" / f"IM-000{k}-0001.jpeg", picture(seed, "jpeg"))
            write(folder / "xray_dataset_covid19" / subset / "PNEUMONIA" / f"case-{k}.png", picture(seed + 5))
    write(folder / "xray_dataset_covid19" / "readme.md", b"about")


def covidx(folder: Path) -> None:
    """Four images of each class, one in test; lists with three classes, and Kaggle's with two."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number, (label, source) in enumerate([("COVID-19", "cohen"), ("pneumonia", "rnsa"), ("normal", "rsna")]):
        for k in range(4):
            subset, name = ("test" if k == 3 else "train"), f"{source} {k}-{label}.png" if k == 1 else f"{source}-{k}-{label}.png"
            write(folder / subset / name, picture(20 * number + k))
            lines[subset].append(f"p{k}{label[0]} {name} {label} {source}")
    for subset, content in lines.items():
        write(folder / "labels" / f"{subset}_COVIDx9A.txt", ("\n".join(content) + "\n").encode())
        two = {" COVID-19 ": " positive ", " pneumonia ": " negative ", " normal ": " negative "}
        binary = [next(line.replace(old, new) for old, new in two.items() if old in line) for line in content]
        write(folder / "labels" / f"{subset}_COVIDx9B.txt", "\n".join(binary).encode())


def nih(folder: Path) -> list[str]:
    """Sixteen frontal images of the two classes, of eight patients, and three others."""
    rows, names = [], []
    for patient in range(1, 9):
        for k in range(2):
            name = f"{patient:08}_{k:03}.png"
            label = "Pneumonia" if k else "No Finding"
            rows.append(
                f"{name},{label},{k},{patient},{'414' if patient == 1 else '058Y'},M,{'AP' if k else 'PA'},2682,2749,0.143,0.143,\n"
            )
            names.append(name)
    for number, labels in enumerate(["Pneumonia|Effusion", "Cardiomegaly", "Hernia"]):
        rows.append(f"0000009{number}_000.png,{labels},0,9{number},57,F,PA,2682,2749,0.143,0.143,\n")
        names.append(f"0000009{number}_000.png")
    write(folder / "Data_Entry_2017.csv", (NIH_HEADER + "".join(rows)).encode())
    for seed, name in enumerate(names):
        write(folder / "images" / name, picture(200 + seed))
    return names
