"""Kaggle's credentials, from where its own client takes them. They go into a header and nowhere else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from cxr.data.fetch.errors import FetchError

FILE = "kaggle.json"
REMEDY = (
    "make a token at https://www.kaggle.com/settings (API), then set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or put the file "
    "kaggle.json into ~/.kaggle; or download the set in a browser and name it with --from"
)


def kaggle_authorization() -> str:
    """Returns the value of the header Authorization.

    Raises:
      FetchError: There are none, or the file is broken. The text repeats nothing of them.
    """
    if token := os.environ.get("KAGGLE_API_TOKEN", "").strip():
        return f"Bearer {token}"
    username, key = (os.environ.get(name, "").strip() for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"))
    if not (username and key):
        path = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle") / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            username, key = str(content["username"]), str(content["key"])
        except FileNotFoundError:
            raise FetchError(f"Kaggle wants to know who downloads, and no credentials were found; {REMEDY}") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise FetchError(f"{path}: is not the file that Kaggle hands out (JSON with username and key); {REMEDY}") from None
    return "Basic " + base64.b64encode(f"{username}:{key}".encode()).decode()
