"""What a frontal chest X-ray is called, in DICOM's headers and by collections, and what is said of others."""

from __future__ import annotations

from typing import NamedTuple


class Terms(NamedTuple):
    """What may stand in a tag.

    Attributes:
      expected: Of a frontal chest X-ray, by the standard.
      others: The standard's other terms, the commoner ones, with blanks between. A value is repeated to people only where it is one of
        them: anything is written into tags, names too.
      also: What machines and collections write in place of the expected ones.
    """

    expected: tuple[str, ...]
    others: str
    also: tuple[str, ...] = ()


_VIEW = Terms(("AP", "PA"), "CC LATERAL LL LLD LLO LM LMO ML MLO OBLIQUE RL RLD RLO XCCL XCCM", also=("AP SUPINE", "AP ERECT"))
_SHORT = ("L", "LAT")  # other views, as collections write them
# By tag; the terms of PS3.3 C.7.3.1.1.1, C.8.1.1 and C.8.11.5, and PS3.16 annex L.
HEADER = {
    "Modality": Terms(
        ("CR", "DX", "RG"),
        "BMD CT DG ES GM HC IO IVOCT IVUS KO MG MR NM OCT OP OT PR PT PX REG RF RTDOSE RTIMAGE RTPLAN RTSTRUCT SC SEG SM SR US XA XC",
    ),
    "ViewPosition": _VIEW,
    "BodyPartExamined": Terms(
        ("CHEST",),
        "ABDOMEN ABDOMENPELVIS ANKLE ARM BREAST CALCANEUS CLAVICLE COCCYX CSPINE ELBOW EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND "
        "HEAD HEART HIP HUMERUS JAW KNEE LEG LSPINE LUNG MANDIBLE MAXILLA NECK NOSE ORBIT PELVIS RIB SACRUM SCAPULA SHOULDER SINUS SKULL "
        "SPINE SSPINE STERNUM TEETH THIGH THUMB TOE TSPINE WHOLEBODY WRIST ZYGOMA",
    ),
}


def remark(tag: str, value: str) -> str:
    """Returns what the value of a tag of HEADER says against a frontal chest X-ray; empty: nothing, as an empty value does."""
    terms, term = HEADER[tag], value.strip(" \0").upper()
    if not term or term in (*terms.expected, *terms.also):
        return ""
    known = f"{term}, " if term in terms.others.split() else ""
    return f"{tag} is {known}not {' or '.join(terms.expected)}"


def is_frontal(view: str) -> bool:
    """Tells whether a collection calls a view frontal, in whatever case."""
    return view.upper() in (*_VIEW.expected, *_VIEW.also)


def view_in_header(value: str) -> str:
    """Returns the view that DICOM's tag names, empty where it is none that is known: anything is written into tags, names too."""
    term = value.strip(" \0").upper()
    return term if is_frontal(term) or is_other_view(term) else ""


def is_other_view(view: str) -> bool:
    """Tells whether a source's view is known to be another one. Of a word that nobody knows, as of none, nothing is said."""
    return view in (*_VIEW.others.split(), *_SHORT)
