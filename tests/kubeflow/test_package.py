import pytest
import yaml

from cxr.core.errors import UsageError
from cxr.kubeflow.package import checked_parameters


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs_mobilnet", "3", "the pipeline has"),
        ("epochs_mobilenet", "many", "not of type"),
        ("epochs_mobilenet", "0", "at least 1 epoch"),
        ("fine_tuning_epochs_mobilenet", "-3", "at least 1 epoch"),
        ("min_accuracy_mobilenet", "90", "between 0 and 1"),
        ("min_accuracy_mobilenet", "nan", "not a finite number"),
        ("min_change_mobilenet", "inf", "not a finite number"),
        ("min_change_mobilenet", "5", "changes by 1 at most"),
        ("min_change_mobilenet", "-2", "changes by 1 at most"),
        ("baseline_mobilenet", "champion.json", "neither an absolute path"),
        ("shortcut_margin_mobilenet", "abc", "neither a number from -1 to below 1 nor null"),
        ("data", "", "neither an absolute path"),
        ("data", "data", "neither an absolute path"),
        ("data", "hdfs://x/y", "neither an absolute path"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(package, name, value, message):
    with pytest.raises(UsageError, match=message):
        checked_parameters(package, {name: value})


@pytest.mark.parametrize(("declared", "said"), [({"parameterType": "BOOLEAN"}, "BOOLEAN"), ({}, "of no type")])
def test_a_parameter_of_a_type_that_no_pipeline_of_ours_has_is_named(package, declared, said):
    spec, platform = yaml.safe_load_all(package.read_text())
    spec["root"]["inputDefinitions"]["parameters"]["extra"] = declared
    package.write_text(yaml.safe_dump_all([spec, platform]))
    with pytest.raises(UsageError, match=f"parameter extra: .* has it as {said}; only NUMBER_INTEGER, .* can be given"):
        checked_parameters(package, {"extra": "true"})


def compiled_for(package, data, root, tasks=("Data",)):
    spec, platform = yaml.safe_load_all(package.read_text())
    spec["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"] = data
    spec["root"]["dag"]["tasks"] |= {name: {} for name in tasks}
    spec["defaultPipelineRoot"] = root
    package.write_text(yaml.safe_dump_all([spec, platform]))
    return package


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        ("/mnt/cxr/data", "gs://b/d", "compiled for data on a volume"),
        ("gs://b/d", "/mnt/cxr/data", "compiled for data on an object store"),
        ("gs://b/d", "gs://other/d", "another bucket than the pipeline root's"),
    ],
)
def test_data_that_the_pipeline_cannot_read_are_refused(package, data, given, message):
    with pytest.raises(UsageError, match=message):
        checked_parameters(compiled_for(package, data, "gs://b/root"), {"data": given})


@pytest.mark.parametrize(
    ("data", "given", "tasks"),
    [
        ("/mnt/cxr/data", "/mnt/cxr/other", ()),
        ("gs://b/d", "gs://b/other", ("Data",)),
        ("gs://declared/d", "gs://other/d", ("Data",)),  # environment_credentials
        ("gs://b/d", "gs://other/d", ()),  # Dataflow's workers read it themselves
    ],
)
def test_data_that_it_can_read_are_not(package, data, given, tasks):
    assert checked_parameters(compiled_for(package, data, "gs://b/root", tasks), {"data": given}) == {"data": given}


def mounted(package, *places):
    spec, _ = yaml.safe_load_all(package.read_text())
    executor = {"pvcMount": [{"mountPath": place, "constant": "cxr"} for place in places]}
    package.write_text(yaml.safe_dump_all([spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"a": executor}}}}}]))
    return package


@pytest.mark.parametrize("name", ["data", "baseline_mobilenet"])
@pytest.mark.parametrize("place", ["/other/place", "/mnt/cxr2/x", "/mnt"])
def test_a_place_on_none_of_the_volumes_is_refused(package, name, place):
    with pytest.raises(UsageError, match=f"parameter {name} = {place}: on none of the volumes .* with \\(/mnt/cxr/, /b\\)"):
        checked_parameters(mounted(package, "/mnt/cxr/", "/b"), {name: place})


@pytest.mark.parametrize("place", ["/mnt/cxr/x/champion.json", "/mnt/cxr", "/b/x", "none", "", "gs://b/x"])
def test_a_baseline_on_one_of_them_or_none_is_not(package, place):
    found = {"baseline_mobilenet": place}
    assert checked_parameters(mounted(package, "/mnt/cxr/", "/b"), found) == found


@pytest.mark.parametrize("text", ["pvcMount: [", "pvcMount: 1", "platforms: {kubernetes: pvcMount}"])
def test_a_platform_that_compile_did_not_write_is_told(package, text):
    package.write_text(f"{package.read_text().partition('---')[0]}---\n{text}\n")
    with pytest.raises(UsageError, match="the platform's document is not as `cxr kubeflow compile` writes it"):
        checked_parameters(package, {"data": "/mnt/cxr/x"})


def test_a_file_that_is_no_pipeline(tmp_path):
    (tmp_path / "x.yaml").write_text("a: 1")
    with pytest.raises(UsageError, match="not a compiled pipeline"):
        checked_parameters(tmp_path / "x.yaml", {})


@pytest.mark.parametrize(
    "text", ["", "[]", "root: 3", "root: {inputDefinitions: 1}", "root: {inputDefinitions: {parameters: [a]}}", "\x80"]
)
def test_whatever_else_a_file_holds_is_no_pipeline(tmp_path, text):
    (tmp_path / "p.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="not a compiled pipeline"):
        checked_parameters(tmp_path / "p.yaml", {})
