"""What can be said of the CUDA patches and the Dockerfile without Debian's source and a network.

docker/check-patches.sh applies and compiles the patches, docker/build-check.sh builds the images.
"""

import re

import pytest

from objseg.files import REPOSITORY

DOCKER = REPOSITORY / "docker"
PATCHES = sorted((DOCKER / "patches").iterdir())
NAMES = [path.name for path in PATCHES]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def added(name_part):
    """The lines that the one patch with ``name_part`` in its name adds."""
    (path,) = [path for path in PATCHES if name_part in path.name]
    return [line[1:] for line in path.read_text().splitlines() if re.match(r"\+(?!\+\+ )", line)]


def packages():
    """{package: version or ''} of docker/packages.txt."""
    lines = (DOCKER / "packages.txt").read_text().splitlines()
    words = [line.split("#")[0].strip() for line in lines]
    return dict(word.partition("=")[::2] for word in words if word)


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


def test_the_build_defaults_are_the_same_in_the_dockerfile_and_in_debian_rules():
    rules = dict(re.match(r"(\w+) \?= (.*)", line).groups()
                 for line in added("debian-rules") if " ?= " in line)
    arguments = dict(re.findall(r'^ARG (\w+)="?([^"\n]+)"?$', DOCKERFILE, re.M))
    for name in ("CUDA_ARCHS", "CUDA_PTX", "CUDNN"):
        assert rules[name] == arguments[name]
    # newer cards need the PTX to be of the newest architecture that has code of its own
    assert int(rules["CUDA_PTX"]) == max(map(int, rules["CUDA_ARCHS"].split()))


def test_the_image_builds_the_version_of_caffe_that_is_pinned():
    (version,) = re.findall(r"apt-get source caffe=(\S+)", DOCKERFILE)
    assert packages()["caffe"] == packages()["python3-caffe"] == version + "*"


def test_the_wheels_are_pinned_each_once():
    lines = (DOCKER / "cuda-wheels.txt").read_text().splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    names = [re.fullmatch(r"(nvidia-[a-z0-9-]+)==[\d.]+", word).group(1) for word in words]
    assert len(set(names)) == len(names)


def test_both_images_run_as_an_ordinary_user_and_cuda_is_the_default():
    stages = re.split(r"^FROM (?:\S+) AS (\w+)\n", DOCKERFILE, flags=re.M)
    bodies = dict(zip(stages[1::2], stages[2::2]))
    assert stages[-2] == "cuda"
    for target in ("cpu", "cuda"):
        assert re.findall(r"^USER (\w+)", bodies[target], re.M)[-1] == "caffe"


def test_the_documentation_lists_every_patch_and_setting():
    text = (REPOSITORY / "docs" / "gpu.md").read_text()
    assert re.findall(r"^\| `(\d\d-[a-z0-9-]+)` \|", text, re.M) == [
        name[:-len(".patch")] for name in NAMES
    ]
    settings = set(re.findall(r'getenv\("(\w+)"\)', "".join(path.read_text() for path in PATCHES)))
    assert settings and all(f"`{name}" in text for name in settings)
