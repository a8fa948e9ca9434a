"""The curated schema that ExampleValidator holds the data to."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from cxr.core import features
from cxr.core.durable import replace_text
from cxr.core.errors import CxrError, UsageError


def curated_schema(class_names: tuple[str, ...], schema_file: Path | None = None) -> schema_pb2.Schema:
    """Returns the schema of a raw example.

    Args:
      class_names: Fill the domain of the label where the schema file leaves it empty.
      schema_file: A pbtxt of one's own; None: the shipped `schema.pbtxt`.

    Raises:
      CxrError: The file cannot be read, is no schema, lacks image or label, or states other classes than the configuration.
    """
    shown = schema_file or "schema.pbtxt"
    try:
        source = schema_file or resources.files("cxr.pipeline") / "schema.pbtxt"
        text = source.read_text(encoding="utf-8")
        schema = text_format.Parse(text, schema_pb2.Schema())
    except OSError as error:
        raise UsageError(f"schema_file {shown}: {error.strerror or error}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise CxrError(f"schema_file {shown}: not a tensorflow_metadata Schema in text form: {error}") from None
    by_name = {feature.name: feature for feature in schema.feature}
    for name in (features.IMAGE, features.LABEL):
        if name not in by_name:
            raise CxrError(f"schema_file {shown}: the feature {name!r} is missing")
    domain = by_name[features.LABEL].string_domain
    if not domain.value:
        domain.value.extend(class_names)
    elif set(domain.value) != set(class_names):
        raise CxrError(
            f"schema_file {shown}: the domain of {features.LABEL!r} is {', '.join(domain.value)}, "
            f"but data.class_names of the configuration is {', '.join(class_names)}"
        )
    return schema


def write_schema(schema: schema_pb2.Schema, folder: Path) -> Path:
    """Writes the schema under a name made of its content: ImportSchemaGen's cache key is the path, not the text.

    The file appears whole or not at all, and one that is damaged is written anew: half a schema demands less, and nobody would notice.

    Returns: `<folder>/<hash>/schema.pbtxt`.
    """
    text = text_format.MessageToString(schema)
    path = folder / hashlib.sha256(text.encode()).hexdigest()[:16] / "schema.pbtxt"
    if not path.is_file() or path.read_bytes() != text.encode():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    return path
