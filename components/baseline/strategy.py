"""The resolver strategy behind the gate's baseline on a local run."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx import v1 as tfx
from tfx import version as tfx_version
from tfx.types import artifact_utils

from cxr.core.places import SERVING

MODEL = "model"


class PushedBaseline(tfx.dsl.experimental.ResolverStrategy):
    """Yields the pushed version that rule.py chose; for the champion itself, the one that it was compared with.

    A second, identical run meets its own champion as the candidate. It must find the inputs of the first run: the cache then serves
    Evaluator and Pusher, and nothing is pushed twice. Inputs: `model`, the candidate, in whose place the baseline comes out.
    """

    def __init__(self, baseline: str = "", champion: str = "", previous: str = "") -> None:
        """Takes URIs of Model artifacts, empty where there is none.

        Args:
          baseline: What to compare with (see `as_artifact`).
          champion: The champion's own, as its trainer wrote it.
          previous: What the champion was compared with.
        """
        self._baseline, self._champion, self._previous = baseline, champion, previous

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Returns one model, or none."""
        is_champion = any(candidate.uri == self._champion for candidate in input_dict[MODEL])
        uri = self._previous if is_champion else self._baseline
        return {MODEL: [_registered(store, uri)] if uri else []}


def as_artifact(version: Path | None, folder: Path) -> str:
    """Gives a pushed version the layout of a Model artifact, by a link.

    Args:
      version: Folder of the version, `<model>/<number>`; None: none.
      folder: Where the links are kept.

    Returns: the artifact's URI, which names model and version and therefore always means the same; empty for None.
    """
    if version is None:
        return ""
    uri = folder / version.parent.name / version.name
    uri.mkdir(parents=True, exist_ok=True)
    link = uri / SERVING
    if link.resolve() != version.resolve():  # not there yet, or of a workspace that was moved
        link.unlink(missing_ok=True)
        link.symlink_to(version.absolute(), target_is_directory=True)
    return str(uri)


def _registered(store: mlmd.MetadataStore, uri: str) -> types.Artifact:
    """Returns the artifact of a URI, the same one every time: its id is part of the cache's key."""
    kind = store.get_artifact_type(types.standard_artifacts.Model.TYPE_NAME)  # known: the candidate is one
    found = [artifact for artifact in store.get_artifacts_by_uri(uri) if artifact.type_id == kind.id]
    if not found:
        made = metadata_store_pb2.Artifact(type_id=kind.id, uri=uri, state=metadata_store_pb2.Artifact.LIVE)
        # without it the Evaluator would look for the folders of models from before TFX 0.29
        made.custom_properties["tfx_version"].string_value = tfx_version.__version__
        (made.id,) = store.put_artifacts([made])
        found = store.get_artifacts_by_id([made.id])
    return artifact_utils.deserialize_artifact(kind, min(found, key=lambda artifact: artifact.id))
