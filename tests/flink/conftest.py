"""A Flink cluster for all tests here, which only `make flink-test` runs."""

import pytest


def pytest_collection_modifyitems(config, items):
    """Skips them, and says so, unless their marker was asked for."""
    if "flink" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("flink"):
                item.add_marker(pytest.mark.skip(reason="needs a Flink cluster: make flink-test"))


@pytest.fixture(scope="session")
def flink(tmp_path_factory):
    """A cluster that runs; its folder is one that workers can write to."""
    from flink_cluster import FlinkCluster, missing

    if gone := missing():
        pytest.skip(f"missing: {', '.join(gone)}; tools/flink.sh says why")
    cluster = FlinkCluster(tmp_path_factory.mktemp("flink"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
