from pathlib import Path

from kfp import dsl

from cxr.components.report.executor import PAGE, Executor
from cxr.kubeflow import report_page


def test_the_names_are_those_of_the_component_and_of_kfp():
    assert f"{Executor.__module__}.{Executor.__qualname__}" == report_page.EXECUTOR
    assert PAGE == report_page.PAGE
    (output,) = report_page.outputs().values()
    assert output["artifactType"]["schemaTitle"] == dsl.HTML.schema_title


def test_the_page_is_copied_to_where_kfp_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    (tmp_path / "page").write_text("<p>the report</p>")
    shown = {"name": "report", "uri": "minio://b/run/report"}
    given = {"outputs": {"artifacts": {"page": {"artifacts": [{"uri": "minio://b/run/page"}]}, "report": {"artifacts": [shown]}}}}
    task = {"outputs": {"artifacts": {"page": {"artifacts": [{"uri": str(tmp_path / "page")}]}}}}
    published = report_page.publish(given, task)
    assert published == {"report": {"artifacts": [{**shown, "metadata": {}}]}}
    assert Path(tmp_path / "minio/b/run/report").read_text() == "<p>the report</p>"
