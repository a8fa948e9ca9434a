"""The COVID-19 image data collection (ieee8023/covid-chestxray-dataset): metadata.csv and a folder of images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

from cxr.core.features import COVID19, NORMAL, PNEUMONIA
from cxr.data.fetch.catalogue import Collection, Remote
from cxr.data.fetch.checksums import agrees, digests
from cxr.data.fetch.errors import FetchError
from cxr.data.fetch.selection import NO_CLASS, NOT_FRONTAL, Candidate, Options, Part, Selection, Walk, known_age, known_sex, table
from cxr.data.images.frontal import is_frontal

SOURCE = "cohen"
NO_XRAY = "no X-ray (CT)"


def select(walk: Walk, options: Options, folder: Path) -> Selection:
    """Takes frontal X-rays with COVID-19, another pneumonia, or no finding."""
    selection = Selection()
    for row in table(walk, ("metadata.csv",), folder, ("filename", "finding", "view", "modality")):
        label = label_of(row["finding"])
        if row["modality"].lower() != "x-ray":
            selection.left_out[NO_XRAY] += 1
        elif not is_frontal(row["view"]):
            selection.left_out[NOT_FRONTAL] += 1
        elif label is None:
            selection.left_out[NO_CLASS] += 1
        else:
            patient = row.get("patient_id", "")
            selection.candidates.append(
                Candidate(
                    path=f"{row.get('folder') or 'images'}/{row['filename']}",
                    label=label,
                    patient_id=f"{SOURCE}-{patient}" if patient else "",
                    source=SOURCE,
                    view=row["view"],
                    sex=known_sex(row.get("sex", "")),
                    age=known_age(row.get("age", "")),
                    license=row.get("license", ""),
                )
            )
    return selection


def label_of(finding: str) -> str | None:
    """Returns the class of a finding, None where it is none of ours.

    Findings are paths from the general to the particular, `Pneumonia/Viral/COVID-19`; in the first versions single words.
    """
    parts = [part.strip().lower() for part in re.split(r"[/,]", finding)]
    if "covid-19" in parts:
        return COVID19
    if parts[0] == "pneumonia":
        return PNEUMONIA
    return NORMAL if parts == ["no finding"] else None


def parts(collection: Collection, selection: Selection, downloads: Path) -> list[Part]:
    """Returns every image's own download, with size and hash as GitHub states them for the commit.

    Raises:
      FetchError: GitHub's list is cut off, or the table that was downloaded is not the one that it lists.
    """
    listing, table_file = (downloads / remote.name for remote in collection.files)
    try:
        content = json.loads(listing.read_text(encoding="utf-8"))
        blobs = {item["path"]: (int(item["size"]), f"git:{item['sha']}") for item in content["tree"] if item["type"] == "blob"}
        complete = not content["truncated"]
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise FetchError(f"{listing}: is no whole list of the repository's files; remove it and call the same command again")
    published = blobs.get(table_file.name, (0, "git:"))[1]
    if not agrees(published, digests(table_file, published)):
        raise FetchError(f"{table_file}: is not what GitHub lists for this commit; remove it and call the same command again")
    return [
        (Remote(candidate.path, collection.image_url.format(path=quote(candidate.path)), *blobs[candidate.path]), [candidate])
        for candidate in selection.candidates
        if candidate.path in blobs
    ]
