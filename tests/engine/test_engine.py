"""Tests of engine/ and the Dockerfile that need no network, compiler or source of Caffe.

engine/check holds the others.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile

import pytest

from objseg.files import REPOSITORY

ENGINE = REPOSITORY / "engine"
PATCHES = sorted((ENGINE / "patches").iterdir())
NAMES = [path.name for path in PATCHES]
REQUIREMENTS = sorted((ENGINE / "requirements").iterdir())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_the_patches_are_numbered_in_order():
    numbers = [int(re.fullmatch(r"(\d\d)-[a-z0-9-]+\.patch", name).group(1)) for name in NAMES]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", PATCHES, ids=NAMES)
def test_a_patch_has_one_line_of_reason_and_whole_hunks(path):
    reason, blank, *rest = path.read_text().splitlines()
    assert 20 < len(reason) <= 100 and reason.endswith(".") and blank == ""
    files, line = 0, 0
    while line < len(rest):
        line += rest[line].startswith("new file mode ")
        assert rest[line].startswith("--- ")
        old, new = (re.fullmatch(r"(?:---|\+\+\+) (?:[ab]/)?(\S+)", text).group(1)
                    for text in rest[line:line + 2])
        assert new == old or old == "/dev/null"
        assert ".." not in new.split("/") and not new.startswith("/")
        files, line = files + 1, line + 2
        assert rest[line].startswith("@@ ")
        while line < len(rest) and rest[line].startswith("@@ "):
            header = re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", rest[line])
            left = [int(count or 1) for count in header.groups()]
            line += 1
            while left != [0, 0]:
                sign = rest[line][:1]
                assert sign in (" ", "+", "-")
                left[0] -= sign != "+"
                left[1] -= sign != "-"
                line += 1
    assert files


def test_both_images_run_as_an_ordinary_user_and_cuda_is_the_default():
    stages = re.split(r"^FROM \S+ AS (\S+)\n", DOCKERFILE, flags=re.M)
    bodies = dict(zip(stages[1::2], stages[2::2]))
    assert stages[-2] == "cuda"
    for target in ("cpu", "cuda"):
        assert re.findall(r"^USER (\w+)", bodies[target], re.M)[-1:] == ["caffe"]


def pinned(name):
    """The (package, version) pairs of a file of requirements."""
    lines = (ENGINE / "requirements" / name).read_text().splitlines()
    words = [line for line in (line.split("#")[0].strip() for line in lines) if line]
    return [re.fullmatch(r"([a-z0-9-]+)==(\d[0-9a-z.+]*)", word).groups() for word in words]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_pin_every_package_once(path):
    names = [name for name, _ in pinned(path.name)]
    assert names and len(set(names)) == len(names)


def test_the_build_and_the_environment_agree_on_versions():
    build, environment = dict(pinned("build.txt")), dict(pinned("environment.txt"))
    shared = set(build) & set(environment)
    assert {"numpy", "scipy-openblas32"} <= shared  # the module is compiled and linked with them
    assert {name: build[name] for name in shared} == {name: environment[name] for name in shared}


def test_the_cuda_compiler_is_of_the_libraries_release():
    versions = dict(pinned("cuda.txt") + pinned("cuda-build.txt"))
    releases = {version.split(".")[:2] == ["13", "0"] for name, version in versions.items()
                if name.startswith("nvidia-cuda-")}
    assert releases == {True}


def test_the_documentation_lists_every_patch_and_setting():
    text = (REPOSITORY / "docs" / "engine.md").read_text()
    assert re.findall(r"^\| `(\d\d-[a-z0-9-]+)` \|", text, re.M) == [
        name[:-len(".patch")] for name in NAMES
    ]
    code = [*PATCHES, *(ENGINE / "kernels").iterdir()]
    settings = set(re.findall(r'getenv\("(\w+)"\)', "".join(path.read_text() for path in code)))
    assert settings and all(f"`{name}" in text for name in settings)


# ---- engine/setup ----


def write_program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return str(path)


def run_setup(folder, **variables):
    """Run engine/setup on ``folder``/made, with a stub for unpack-packages."""
    write_program(folder / "engine" / "unpack-packages", "echo unpacking ${*:3}")
    return subprocess.run(
        [shutil.copy(ENGINE / "setup", folder / "engine"), folder / "made"], timeout=60,
        capture_output=True, text=True, env={"PATH": os.environ["PATH"], **variables},
    )


def test_the_set_up_takes_mirrors_and_proxies_alone_from_its_environment(tmp_path):
    python = write_program(tmp_path / "python", '[ "$1" != -c ] || exit 0; env; exit 9')
    passed = {"http_proxy": "http://proxy.invalid:8080", "NO_PROXY": "a, b", "HOME": "/home/me",
              "PIP_INDEX_URL": "http://index.invalid/simple", "PIP_CACHE_DIR": "/cache"}
    hostile = dict.fromkeys(
        ["CPATH", "LIBRARY_PATH", "COMPILER_PATH", "CXXFLAGS", "MAKEFLAGS", "TAR_OPTIONS", "TMPDIR",
         "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH",
         "PYTHONHOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "BASH_ENV", "LC_ALL", "LANGUAGE"], "/host"
    )
    done = run_setup(tmp_path, OBJSEG_PYTHON=python, **passed, **hostile)
    assert done.returncode == 9, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert {name: seen.get(name) for name in passed} == passed
    assert not [name for name in hostile if seen.get(name) == "/host"]
    assert seen["PIP_USER"] == "0" and seen["LC_ALL"] == "C.UTF-8"
    assert seen["PYTHONDONTWRITEBYTECODE"] == "1"  # the checkout may be read-only


@pytest.mark.parametrize("version, taken", [
    ("(2, 7)", False), ("(3, 10)", False), ("(3, 11)", True), ("(3, 13)", True), ("(3, 14)", False),
])
def test_the_set_up_takes_python_3_11_to_3_13(tmp_path, version, taken):
    # sys.version_info is ``version`` to the code that it is given
    python = write_program(tmp_path / "a folder" / "python", f"""
if [ "$1" = -c ]; then exec '{sys.executable}' -c "import sys; sys.version_info = {version}; $2"; fi
echo "started with $*"; exit 9""")
    done = run_setup(tmp_path, OBJSEG_PYTHON=python)
    assert done.returncode == (9 if taken else 1), done.stderr
    if taken:
        assert re.search(f"^started with -m venv .*{tmp_path}/made$", done.stdout, re.M)
    else:
        assert f"OBJSEG_PYTHON, {python}, is not Python 3.11, 3.12 or 3.13" in done.stderr


def test_the_set_up_leaves_a_folder_alone_that_holds_something(tmp_path):
    (tmp_path / "made/build").mkdir(parents=True)
    (tmp_path / "made/build/mine").touch()
    done = run_setup(tmp_path, OBJSEG_PYTHON=sys.executable)
    assert done.returncode == 1 and "made is not empty" in done.stderr
    assert (tmp_path / "made/build/mine").exists()


@pytest.mark.parametrize("named", ["/no/such/python", "/bin/false", "no-such-python"])
def test_the_set_up_refuses_what_is_no_python(tmp_path, named):
    done = run_setup(tmp_path, OBJSEG_PYTHON=named)
    assert done.returncode == 1
    assert f"OBJSEG_PYTHON, {named}, is not Python 3.11, 3.12 or 3.13" in done.stderr


def test_the_set_up_fetches_pip_for_a_python_without_ensurepip(tmp_path):
    python = write_program(
        tmp_path / "python",
        '[[ $2 != *ensurepip* ]] || exit 1; [ "$1" = -c ] || { echo "started with $*"; exit 9; }'
    )
    done = run_setup(tmp_path, OBJSEG_PYTHON=python)
    assert done.returncode == 9, done.stderr
    assert "unpacking python3-pip-whl\n" in done.stdout
    assert f"started with -m venv --without-pip {tmp_path}/made\n" in done.stdout


# ---- engine/source.py ----


@pytest.fixture
def source(monkeypatch):
    monkeypatch.syspath_prepend(str(ENGINE))
    import source
    return source


@pytest.fixture
def tree(tmp_path):
    """A small source tree with a file or more for each of the names that the digest covers."""
    folder = tmp_path / "tree"
    for name in ("LICENSE", "CONTRIBUTORS.md", "include/caffe/net.hpp", "src/caffe/net.cpp",
                 "python/caffe/io.py", "tools/caffe.cpp", "docs/index.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def pack(tree, top):
    """Pack ``tree`` as the folder ``top`` of an archive ('' for none); returns its path."""
    archive = tree.parent / f"archive{top}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in tree.iterdir():
            tar.add(path, f"{top}/{path.name}" if top else path.name)
    return archive


@pytest.mark.parametrize("name", ["LICENSE", "src/caffe/net.cpp", "tools/caffe.cpp"])
def test_the_digest_changes_with_every_file_that_is_used(source, tree, name):
    before = source.digest(tree)
    (tree / name).write_text("changed")
    changed = source.digest(tree)
    (tree / name).rename(tree / f"src/{os.path.basename(name)}.renamed")
    renamed = source.digest(tree)
    (tree / "include/added").touch()
    assert len({before, changed, renamed, source.digest(tree)}) == 4


def test_the_digest_is_that_of_a_sorted_list_of_the_used_files(source, tree):
    """The same as of ``sha256sum FILE …``."""
    used = ["CONTRIBUTORS.md", "LICENSE", "include/caffe/net.hpp", "python/caffe/io.py",
            "src/caffe/net.cpp", "tools/caffe.cpp"]
    listed = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in used)
    assert source.digest(tree) == hashlib.sha256(listed.encode()).hexdigest()


@pytest.mark.parametrize("top", ["", "caffe-1.0"])
def test_an_archive_may_have_one_top_folder(source, tree, tmp_path, monkeypatch, top):
    monkeypatch.setattr(source, "DIGEST", source.digest(tree))
    folder = tmp_path / "new" / "caffe"
    source.fetch(folder, archive=pack(tree, top))
    assert (folder / "src/caffe/net.cpp").read_text() == "src/caffe/net.cpp"


def test_another_source_is_refused_and_deleted(source, tree, tmp_path):
    folder, archive = tmp_path / "caffe", pack(tree, "caffe-1.0")
    with pytest.raises(source.SourceError) as error:
        source.fetch(folder, archive=archive)
    for part in (archive, source.digest(tree), source.DIGEST, "--source"):
        assert str(part) in str(error.value)
    assert not folder.exists()


def test_a_truncated_archive_is_refused_and_deleted(source, tree, tmp_path):
    folder, archive = tmp_path / "caffe", pack(tree, "")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(source.SourceError, match=re.escape(str(archive))):
        source.fetch(folder, archive=archive)
    assert not folder.exists()


def test_the_next_place_is_tried(source, tree, tmp_path, monkeypatch):
    archives = {"right": pack(tree, "caffe-1.0")}
    monkeypatch.setattr(source, "DIGEST", source.digest(tree))
    (tree / "LICENSE").unlink()
    archives = {"wrong": pack(tree, ""), **archives}
    monkeypatch.setattr(source, "addresses", lambda mirrors: ["missing", *archives])

    def download(place, path, apt_config):
        if place not in archives:
            raise OSError("not found")
        path.write_bytes(archives[place].read_bytes())

    monkeypatch.setattr(source, "download", download)
    folder = tmp_path / "caffe"
    source.fetch(folder)
    assert source.digest(folder) == source.DIGEST
    del archives["right"]
    with pytest.raises(source.SourceError, match="missing: not found\n  wrong: .*expected"):
        source.fetch(tmp_path / "again")


# ---- engine/compiling.py and engine/make_wheel.py ----


@pytest.fixture
def compiling(monkeypatch):
    monkeypatch.syspath_prepend(str(ENGINE))
    import compiling
    return compiling


def test_every_source_file_is_in_one_unit_and_neighbours_in_two(compiling, tmp_path):
    layers = tmp_path / "src/caffe/layers"
    (tmp_path / "src/caffe/test").mkdir(parents=True)
    layers.mkdir()
    names = ["absval_layer", "conv_layer", "cudnn_conv_layer", "cudnn_deconv_layer", "cudnn_lcn",
             "deconv_layer", "eltwise_layer", "hdf5_data_layer", "lstm_layer"]
    for name in names:
        (layers / f"{name}.cu").touch()
    (tmp_path / "src/caffe/test/test_conv.cu").touch()
    files = compiling.sources(tmp_path, ".cu")
    assert [file.stem for file in files] == [name for name in names if "hdf5" not in name]
    units = compiling.write_units(files, tmp_path, "cuda")
    texts = [unit.read_text() for unit in units]
    assert len(set(units)) == compiling.UNITS and {unit.suffix for unit in units} == {".cu"}
    assert sorted("".join(texts).splitlines()) == [f'#include "{file}"' for file in files]
    # these two define the same kernel
    assert not any("cudnn_conv_layer" in text and "cudnn_deconv_layer" in text for text in texts)


def test_an_architecture_is_code_and_with_ptx_both(compiling):
    assert compiling.architectures(["75", "90+PTX"]) == [
        "-gencode=arch=compute_75,code=sm_75", "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
    ]


def test_the_default_build_has_ptx_for_the_generations_that_it_has_no_code_for(monkeypatch):
    monkeypatch.syspath_prepend(str(ENGINE))
    import make_wheel
    capabilities = make_wheel.ARCHITECTURES
    numbers = [int(capability.split("+")[0]) for capability in capabilities]
    ptx = [int(name.split("+")[0]) for name in capabilities if name.endswith("+PTX")]
    assert len(set(numbers)) == len(numbers) and len(ptx) == 1
    # code runs on cards of its own generation alone (the tens), PTX on all that are newer
    missing = set(range(7, 13)) - {number // 10 for number in numbers}
    assert all(generation > ptx[0] // 10 for generation in missing)


# ---- engine/caffe_command.py ----

LAYER = """import caffe


class Layer(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top): print("forward", flush=True)
    def backward(self, top, propagate_down, bottom): pass
"""
NET = 'layer { type: "Python" top: "x" python_param { module: "layer" layer: "Layer" } }'


def start_caffe(folder, *words):
    """Start engine/caffe_command.py in ``folder``, which gets a Python layer and two nets."""
    (folder / "layer.py").write_text(LAYER)
    (folder / os.fsdecode(b"net\xff")).write_text(NET)
    (folder / "broken").write_text(NET.replace('"layer"', '"no_such_module"'))
    return subprocess.Popen(
        [sys.executable, "-c", "import sys, caffe_command as c; sys.exit(c.main())", *words],
        env={**os.environ, "PYTHONPATH": f"{ENGINE}:{folder}"}, cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("words, status, printed", [
    (["--version"], 0, "caffe version 1.0.0\n"),
    ([], 0, "usage: caffe <command> <args>"),
    (["train"], -signal.SIGABRT, "Need a solver definition to train"),
    (["time", "-model", b"net\xff", "-iterations", "1"], 0, "forward\n"),
    (["time", "-model", "broken"], 1, "No module named 'no_such_module'"),
])
def test_the_caffe_command(tmp_path, words, status, printed):
    process = start_caffe(tmp_path, *words)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert printed in output + errors


def test_an_interrupt_ends_the_caffe_command_at_once(tmp_path):
    process = start_caffe(tmp_path, "time", "-model", b"net\xff", "-iterations", "2000000000")
    assert process.stdout.readline() == "forward\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
