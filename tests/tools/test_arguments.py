"""Command-line arguments that several tools have."""

import argparse
import os

import pytest
from common.arguments import Parser, add_device, add_net_workers, net_workers, positive
from common.method_arguments import chosen_weights
from common.next_commands import for_the_next_stage
from support.commands import load_tool

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


def test_the_next_stage_takes_over_all_options_but_those_of_one_run():
    parser = load_tool("train").parser()
    kept = ["--size", "slim", "--data", "my data", "--seed=2", "--train-convnet",
            "--iter-size", "3", "--validation-images", "0"]
    of_one_run = ["--out", "o", "--iterations", "4", "--resume", "--if-changed=restart"]
    following = for_the_next_stage(["--model", "lowres", *of_one_run, *kept, "--weights", "none"])
    assert (parser.parse_args(["--model", "highres", *following])
            == parser.parse_args(["--model", "highres", *kept]))


TOOLS = sorted(path.stem for path in (REPOSITORY / "tools").glob("*.py"))


@pytest.fixture(scope="module")
def parsers():
    """{tool: its parser}, as far as it is made before the command line is read."""
    found = {}

    def note(parser, *words):
        raise Made(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", note)
        for name in TOOLS:
            with pytest.raises(Made) as made:
                tool = load_tool(name)
                getattr(tool, "parse", tool.main)()
            found[name] = made.value.args[0]
    return found


class Made(Exception):  # noqa: N818
    """Carries a parser."""


def options_of(parser):
    return [action for action in parser._actions
            if action.help != argparse.SUPPRESS and action.dest != "help"]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_help_of_a_tool_has_an_example_and_explains_every_option(parsers, tool):
    parser = parsers[tool]
    assert f"\n    python tools/{tool}.py" in parser.format_help()
    groups = {option.dest: str(group.title) for group in parser._action_groups
              for option in group._group_actions}
    for option in options_of(parser):
        name = (option.option_strings or [option.dest])[-1]
        assert option.help, f"{name} has no help"
        if option.nargs != 0 and option.option_strings:
            assert option.choices or option.metavar, f"{name} does not name its value"
            text = parser._get_formatter()._expand_help(option)
            given = option.required or "default" in text + groups[option.dest]
            assert given, f"{name} names no default"


def test_an_option_has_the_same_words_in_every_tool(parsers):
    """But for --out, --weights and such, which are of something else in each tool.

    In tools/prepare_refer.py --data is another name of --raw, as the refer toolbox has it.
    """
    for name in ("--size", "--data", "--split", "--prototxt", "--cpu", "--mpi"):
        texts = {option.help.partition(" (default")[0]
                 for parser in parsers.values() for option in options_of(parser)
                 if name in option.option_strings and "--raw" not in option.option_strings}
        assert texts, name
        if name in ("--size", "--data", "--split"):
            assert len(texts) == 1, texts
