"""Switches that several tools have."""

import pytest
from common.method_arguments import chosen_weights

from objseg.errors import UserError


@pytest.mark.parametrize("text, methods, expected", [
    ("/x/run=3/w.caffemodel", ["highres"], {"highres": "/x/run=3/w.caffemodel"}),
    ("highres=/x/run=3/w.caffemodel", ["highres", "lowres"], {"highres": "/x/run=3/w.caffemodel"}),
    ("lowres=a", ["highres", "lowres"], {"lowres": "a"}),
])
def test_weights_of_any_path(text, methods, expected):
    assert chosen_weights([text], methods) == expected


def test_a_file_for_several_models_is_refused():
    with pytest.raises(UserError, match="which model is it for"):
        chosen_weights(["/x/run=3/w.caffemodel"], ["highres", "lowres"])
