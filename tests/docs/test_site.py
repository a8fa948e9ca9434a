import re
import subprocess

import pytest
from shown import ROOT


@pytest.mark.slow
def test_site_is_whole_and_asks_the_network_for_nothing():
    done = subprocess.run([ROOT / "tools" / "docs.sh"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr  # strict: a link that leads nowhere fails
    site = ROOT / "build" / "site"
    pages = {str(page.relative_to(site)): page.read_text() for page in site.rglob("*.html")}
    assert {"index.html", "docs/tour.html", "docs/data.html", "docs/api/trainer.html"} <= set(pages)
    assert "run_audit" in pages["docs/api/data.html"]  # a function, and what its docstring says of an argument
    assert "All images; shortcuts that have no table in it are left out." in pages["docs/api/data.html"]
    for name, text in pages.items():
        assert not re.findall(r"""<(?:script|img|iframe)[^>]+src=["'](?:https?:)?//""", text), name
        assert not [link for link in re.findall(r"<link[^>]+>", text) if "stylesheet" in link and "//" in link], name
