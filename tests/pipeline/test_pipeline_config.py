import re

import pytest
import yaml

from cxr.core.errors import CxrError
from cxr.pipeline.pipeline_config import Config, load, shipped

SMALL = """
name: small
defaults: {weights: none, head_training: {epochs: 2, batch_size: 8}}
models:
  mobilenet: {backbone: MobileNet}
  densenet: {backbone: DenseNet121, head_training: {epochs: 5}}
"""


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return str(file)


@pytest.mark.parametrize("name", ["demo", "paper", "cpu", "full"])
def test_shipped_configurations_load_and_survive_a_round_trip(name, tmp_path):
    config = load(name)
    assert config.name == name
    assert shipped()[name] == config.description
    file = tmp_path / "kept.yaml"
    file.write_text(config.to_yaml())
    assert load(str(file)) == config


def test_where_beam_works(small):
    assert "--direct_num_workers=1" in load(small).beam.arguments()
    config = load(small, ["beam.workers=3", "beam.options=[--runner=PortableRunner]"])
    assert config.beam.arguments()[-1] == "--runner=PortableRunner"  # over ours
    assert "--direct_num_workers=3" in config.beam.arguments()


def head(model):
    """Settings of a model's first stage."""
    assert model.head_training is not None
    return model.head_training


def test_defaults_reach_every_model_and_models_may_differ(small):
    config = load(small)
    assert {name: model.weights for name, model in config.models.items()} == {"mobilenet": "none", "densenet": "none"}
    assert (head(config.models["mobilenet"]).epochs, head(config.models["densenet"]).epochs) == (2, 5)
    assert head(config.models["densenet"]).batch_size == 8
    assert config.candidates == ("mobilenet", "densenet", "ensemble")


def test_overrides_reach_one_model_or_all(small):
    config = load(small, ["models.mobilenet.head_training.epochs=7", "gate.min_accuracy=0.9", "ensemble=null"])
    assert (head(config.models["mobilenet"]).epochs, head(config.models["densenet"]).epochs) == (7, 5)
    assert config.gate.min_accuracy == 0.9
    assert config.candidates == ("mobilenet", "densenet")
    assert {head(model).epochs for model in load(small, ["defaults.head_training.epochs=9"]).models.values()} == {9}


def test_defaults_as_one_mapping_take_the_place_of_the_files_and_leave_each_model_what_it_is(small):
    found = load(small, ["defaults={head_training: {epochs: 4}}"]).models
    assert {name: (model.backbone, head(model).epochs) for name, model in found.items()} == {
        name: (model.backbone, 4) for name, model in load(small).models.items()
    }
    assert {head(model).batch_size for model in found.values()} == {16}  # the default, since the file's went


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gate.minimum=1", "gate.minimum: unknown key"),
        ("models.mobilenet.head_training.epochs=none", "models.mobilenet.head_training.epochs"),
        ("models.mobilenet.head_training.epochs=0", "greater than or equal to 1"),
        ("models.ensemble.backbone=MobileNet", "this name is the ensemble's"),
        ("models.driver.backbone=MobileNet", "what Kubeflow calls its own parts ends like the tasks of this model; give it another name"),
        ("models.Mobile_Net.backbone=MobileNet", "lower-case"),
        ("models.straße.backbone=MobileNet", "models.straße: a model's name has lower-case letters (a to z)"),
        ("ensemble.seed=-1", "ensemble.seed: Input should be greater than or equal to 0"),
        ("audit.seed=4294967296", "audit.seed: Input should be less than 4294967296"),
        ("gate.split=tset", "gate.split: must be test: models learn from train"),
        ("gate.split=val", "gate.split: must be test"),
        ("gate.min_accuracy_of.resnet=0.5", "gate.min_accuracy_of.resnet: there is no model resnet; there are mobilenet"),
        ("name=My Pipeline", "name"),
        ("epochs", "key=value"),
        ("name.first=1", "is a value"),
        ("data.seed=[", "not valid YAML"),
    ],
)
def test_mistakes_name_the_field(small, override, message):
    with pytest.raises(CxrError) as error:
        load(small, [override])
    assert message in str(error.value)


def test_all_that_names_a_model_that_is_gone_is_told_at_once():
    with pytest.raises(CxrError) as error:
        load("cpu", ["ensemble=null"])
    assert re.findall(r"gate\.[a-z_.0-9]+: there is no model ensemble", str(error.value)) == [
        "gate.min_accuracy_of.ensemble: there is no model ensemble",
        "gate.demands.0.models: there is no model ensemble",
    ]
    load("cpu", ["ensemble=null", "gate.min_accuracy_of={}", "gate.demands=[]"])


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ([], "image_size (line 2): Input"),
        ([], "models.first.head_training.epochs (line 5): Input"),  # of the defaults
        ([], "models.second.seed (line 11): Input"),
        ([], "models.second.backbone (line 10): is missing"),  # where the model begins
        ([], "gate.demands.1 (line 15): demands nothing"),
        (["image_size=4"], "image_size: Input"),  # the file's value does not count
        (["defaults.head_training={epochs: none}"], "models.first.head_training.epochs: Input"),
        (["defaults.image_size=no"], "image_size (line 2): Input"),  # the models' key of this name is another one
        (["models.second.seed=-2"], "models.second.seed: Input"),
    ],
)
def test_mistakes_name_the_line_of_the_file(tmp_path, overrides, place):
    file = tmp_path / "c.yaml"
    file.write_text(
        "name: x\nimage_size: 3\n"
        "defaults:\n  weights: none\n  head_training: {epochs: many}\n\n"
        "models:\n  first:\n    backbone: MobileNet\n  second:\n    seed: -1\n"
        "gate:\n  demands:\n  - {metric: accuracy, min: 0.5}\n  - {metric: accuracy}\n"
    )
    with pytest.raises(CxrError) as error:
        load(str(file), overrides)
    assert f"  {place}" in str(error.value)


def test_very_many_mistakes_are_counted(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: x\nmodels: {a: {backbone: MobileNet}}\n" + "".join(f"k{number}: 1\n" for number in range(3000)))
    with pytest.raises(CxrError) as error:
        load(str(file))
    *_, last, counted = str(error.value).splitlines()
    assert last == "  k49 (line 52): unknown key; remove it or correct its spelling"
    assert counted == "  and 2950 more"


def test_unknown_configuration_lists_what_there_is():
    with pytest.raises(CxrError, match="cpu, demo, full, paper"):
        load("dmo")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00\x01"])
def test_files_that_are_no_configuration(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(CxrError, match=r"bad\.yaml"):
        load(str(file))


def test_is_immutable(small):
    with pytest.raises(Exception, match="frozen"):
        load(small).name = "other"  # type: ignore[misc] # mypy, too, knows that it is read-only


def test_printed_form_is_complete(small):
    assert set(yaml.safe_load(load(small).to_yaml())) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\ndefaults: [a]\nmodels: {a: {backbone: MobileNet}}", "defaults: must be fields of a model"),
        ("name: x\ndefaults: {weights: none}\nmodels: {a: true}", r"models.a \(line 3\): Input should be a valid dictionary"),
        ("name: x\nmodels: text", r"models \(line 2\): Input should be a valid dictionary"),
        ("name: 2001-99-99", "not valid YAML: a value that cannot be read"),
        ("[" * 3000, "not valid YAML: nested too deeply"),
        (f"name: &a [{'x,' * 400}]\nmodels: [{'*a,' * 400}]", "more than 100,000 values"),
        (f"name: {'long ' * 200}", r"\(given: 'long .{190,200}…\)"),
    ],
)
def test_hostile_configurations_are_refused_with_the_place(tmp_path, text, said):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(CxrError, match=said) as caught:
        load(str(file), ["defaults.weights=none"] if "models: text" in text else [])
    assert len(str(caught.value)) < 2000
