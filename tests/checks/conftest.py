import pytest

from checks.options import Options
from checks.scenes import add_regions, make_scenes


@pytest.fixture(scope="session")
def options(tmp_path_factory):
    """Options of one iteration on the CPU, with scenes and the slim features in their folder."""
    options = Options(tmp_path_factory.mktemp("checks"))
    add_regions(make_scenes(options.data, train=4, test=2), ["slim"])
    return options
