"""Anomalies are found by TFDV itself on statistics of real tables."""

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.core.errors import CxrError


@pytest.fixture
def schema() -> schema_pb2.Schema:
    frame = pd.DataFrame({"label": ["normal", "covid19"] * 5, "mean": [100.0, 120.0] * 5})
    inferred = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(frame))
    tfdv.get_feature(inferred, "mean").float_domain.max = 255.0
    tfdv.set_domain(inferred, "label", schema_pb2.StringDomain(name="label", value=["normal", "covid19"]))
    return inferred


def write(folder, split, frame, schema):
    anomalies = tfdv.validate_statistics(tfdv.generate_statistics_from_dataframe(frame), schema)
    (folder / f"Split-{split}").mkdir()
    (folder / f"Split-{split}" / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())


def test_good_data_have_none(tmp_path, schema):
    write(tmp_path, "train", pd.DataFrame({"label": ["normal"], "mean": [90.0]}), schema)
    assert describe_anomalies(str(tmp_path)) == []


def test_names_split_feature_and_value(tmp_path, schema):
    write(tmp_path, "train", pd.DataFrame({"label": ["normal"], "mean": [90.0]}), schema)
    write(tmp_path, "val", pd.DataFrame({"label": ["tuberculosis"], "mean": [300.0]}), schema)
    sentences = describe_anomalies(str(tmp_path))
    assert len(sentences) == 2
    assert all(sentence.startswith("split val, feature ") for sentence in sentences)
    assert any("tuberculosis" in sentence for sentence in sentences)
    assert any("mean" in sentence and "300" in sentence for sentence in sentences)


def test_missing_column_is_named(tmp_path, schema):
    write(tmp_path, "train", pd.DataFrame({"mean": [90.0]}), schema)
    (sentence,) = describe_anomalies(str(tmp_path))
    assert "label" in sentence


def test_an_empty_folder_is_no_clean_bill(tmp_path):
    with pytest.raises(FileNotFoundError, match="ExampleValidator"):
        describe_anomalies(str(tmp_path))


def test_a_damaged_file_is_told_with_a_remedy(tmp_path, schema):
    write(tmp_path, "train", pd.DataFrame({"mean": [90.0]}), schema)
    file = tmp_path / "Split-train" / "SchemaDiff.pb"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CxrError, match=r": cannot be read \(DecodeError.*\); remove this folder"):
        describe_anomalies(str(tmp_path))
