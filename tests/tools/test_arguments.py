"""Command-line arguments that several tools have."""

import argparse
import os

import pytest
from common.arguments import Parser, add_device, add_net_workers, net_workers, positive
from common.method_arguments import chosen_weights

from objseg.errors import UserError
from objseg.files import REPOSITORY


@pytest.mark.parametrize("text, methods, expected", [
    ("/x/run=3/w.caffemodel", ["highres"], {"highres": "/x/run=3/w.caffemodel"}),
    ("highres=/x/run=3/w.caffemodel", ["highres", "lowres"], {"highres": "/x/run=3/w.caffemodel"}),
    ("lowres=a", ["highres", "lowres"], {"lowres": "a"}),
    ("x=lowres=a", ["lowres"], {"lowres": "x=lowres=a"}),
])
def test_weights_of_any_path(text, methods, expected):
    assert chosen_weights([text], methods) == expected


def test_a_folder_of_weights_is_for_every_model_that_is_not_named(tmp_path):
    chosen = chosen_weights([str(tmp_path), "lowres=a"], ["lowres", "highres", "whole-image"])
    assert chosen == {"lowres": "a", "highres": str(tmp_path)}


def test_a_file_for_several_models_is_refused():
    with pytest.raises(UserError, match="which model is it for"):
        chosen_weights(["/x/run=3/w.caffemodel"], ["highres", "lowres"])


def test_weights_of_a_model_that_is_not_used_are_refused():
    with pytest.raises(UserError, match="no method that uses the model mcg"):
        chosen_weights(["mcg=a"], ["highres", "lowres"])


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "two", ""])
def test_a_number_out_of_range_is_refused_with_what_was_expected(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected an integer of at least 1"):
        positive(text)


def test_the_help_names_defaults_and_no_folder_of_this_machine():
    parser = Parser("Try.\n\n    python tools/try.py")
    parser.add_argument("--out", default=REPOSITORY / "out" / "x", help="folder")
    parser.add_argument("--count", default=3, help="number")
    parser.add_argument("--other", default=4, help="number (default: many)")
    parser.add_argument("--none", help="nothing")
    parser.add_argument("--switch", action="store_true", help="turn on")
    text = " ".join(parser.format_help().split())
    assert "folder (default: out/x)" in text and "number (default: 3)" in text
    assert text.count("default") == 3 and str(REPOSITORY) not in text
    assert "\n    python tools/try.py\n" in parser.format_help()


def test_processes_are_no_more_than_the_cores_that_this_process_may_use():
    parser = Parser("")
    add_device(parser)
    add_net_workers(parser)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert net_workers(parser.parse_args([])) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert net_workers(parser.parse_args(["--workers", "7"])) == 7
    assert net_workers(parser.parse_args(["--gpu", "0"])) == 1
