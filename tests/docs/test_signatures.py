"""The page on serving lists every signature that a model has."""

import re

from shown import ROOT

from cxr.core import features


def test_every_signature_is_on_the_page():
    page = (ROOT / "docs" / "serving.md").read_text()
    table = page.partition("### All signatures")[2].partition("\n###")[0]
    named = {value for name, value in vars(features).items() if name.startswith("SIGNATURE_")}
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == named
