import pytest


@pytest.fixture(scope="session")
def cpp_session():
    """Returns the class that loads a SavedModel by its folder."""
    from cpp_loader import CppSession

    return CppSession
