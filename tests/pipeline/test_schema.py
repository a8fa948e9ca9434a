import shutil

import pytest
from google.protobuf import text_format
from killed import killed_at

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.pipeline.schema import curated_schema, write_schema


def test_shipped_schema_declares_every_feature_and_takes_the_classes():
    schema = curated_schema(("ill", "well"))
    names = {feature.name: feature for feature in schema.feature}
    assert set(names) == {
        features.IMAGE, features.FORMAT, features.HEIGHT, features.WIDTH, features.MEAN, features.STD, features.LABEL, features.PATIENT_ID,
        features.SOURCE, features.VIEW, features.SEX, features.AGE, features.LICENSE, features.AGE_BAND, features.CONTENT_HASH,
        features.LESION_MASK,
    }  # fmt: skip
    assert list(names[features.LABEL].string_domain.value) == ["ill", "well"]
    assert tuple(names[features.AGE_BAND].string_domain.value) == features.AGE_BANDS


def test_own_schema_must_fit_the_configuration(tmp_path):
    file = tmp_path / "own.pbtxt"
    file.write_text(text_format.MessageToString(curated_schema(("ill", "well"))))
    assert curated_schema(("well", "ill"), file) == curated_schema(("ill", "well"))
    with pytest.raises(CxrError, match="ill, well"):
        curated_schema(("covid19", "normal"), file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"no proto", "not a tensorflow_metadata Schema"),
        (b'feature { name: "image" }', "'label' is missing"),
        (b"\x7fELF\xd0", "own.pbtxt: not a tensorflow_metadata Schema in text form: 'utf-8' codec"),
    ],
)
def test_bad_schema_files_are_named(tmp_path, text, message):
    file = tmp_path / "own.pbtxt"
    file.write_bytes(text)
    with pytest.raises(CxrError, match=message):
        curated_schema(("a", "b"), file)


def test_another_schema_gets_another_path(tmp_path):
    first, second = (write_schema(curated_schema(names), tmp_path) for names in (("a", "b"), ("a", "c")))
    assert first != second
    assert write_schema(curated_schema(("a", "b")), tmp_path) == first


def test_no_run_takes_half_a_schema(tmp_path):
    """Of an earlier one that was killed: half a schema demands less, and nobody would notice."""
    schema, step = curated_schema(("a", "b")), 0
    whole, folder = text_format.MessageToString(schema), tmp_path / "schema"
    while killed_at(step, lambda: write_schema(schema, folder)):
        assert {found.read_text() for found in folder.glob("*/schema.pbtxt")} <= {whole}
        assert write_schema(schema, folder).read_text() == whole
        shutil.rmtree(folder)
        step += 1
    assert step > 3
    write_schema(schema, folder).write_text(whole[:100])  # as an earlier version left it
    assert write_schema(schema, folder).read_text() == whole
