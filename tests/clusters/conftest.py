"""Clusters for all tests here, which only `make flink-test` and `make spark-test` run."""

import pytest

ENGINES = ("flink", "spark")


def pytest_collection_modifyitems(config, items):
    """Skips them, and says so, unless their engine's marker was asked for."""
    for engine in ENGINES:
        if engine not in config.option.markexpr:
            for item in items:
                if item.get_closest_marker(engine):
                    item.add_marker(pytest.mark.skip(reason=f"needs a {engine.title()} cluster: make {engine}-test"))


@pytest.fixture(scope="session", params=[pytest.param(engine, marks=getattr(pytest.mark, engine)) for engine in ENGINES])
def cluster(request, tmp_path_factory):
    """A cluster that runs; its folder is one that workers can write to."""
    from flink_cluster import FlinkCluster
    from spark_cluster import SparkCluster

    (kind,) = (kind for kind in (FlinkCluster, SparkCluster) if kind.name == request.param)
    if gone := kind.missing():
        pytest.skip(f"missing: {', '.join(gone)}; tools/{kind.name}.sh says why")
    cluster = kind(tmp_path_factory.mktemp(kind.name))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
