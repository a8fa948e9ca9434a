from types import SimpleNamespace

from cxr.components.baseline import champion
from cxr.components.infra_check import checked, component


def test_the_verdict_is_about_the_files_as_they_were_before_a_server_loaded_them(tmp_path, monkeypatch):
    served = tmp_path / "model" / "Format-Serving"
    served.mkdir(parents=True)
    (served / "saved_model.pb").write_text("a graph")
    before = champion.fingerprint(served)

    def check(path, name, **_):
        (served / "saved_model.pb").write_text("changed meanwhile")
        return SimpleNamespace(blessed=True, problems=())

    monkeypatch.setattr(component, "check_model", check)
    told: dict[str, int] = {}
    blessing = SimpleNamespace(uri=str(tmp_path / "blessing"), set_int_custom_property=told.__setitem__)
    model = SimpleNamespace(uri=str(tmp_path / "model"))
    run = component.InfraCheck.EXECUTOR_SPEC.executor_class._FUNCTION
    run(model=model, blessing=blessing, model_name="m", load_seconds=1.0, tolerance=0.1, code_version="")
    assert checked.noted(tmp_path / "blessing") == before != champion.fingerprint(served)
    assert told == {"blessed": 1}
    assert (tmp_path / "blessing" / "INFRA_BLESSED").exists()
