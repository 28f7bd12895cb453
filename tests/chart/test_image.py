"""scripts/oci-image makes a valid image of static programs, the same one each time, and the one that the Dockerfile describes."""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tarfile

import pytest
from larderlib.need import REPOSITORY, tool

SCRIPT = REPOSITORY / "scripts" / "oci-image"
ARM64 = 183


def compiled(directory, name="larder", says="larder 0.1.0", static=True):
    """A program that stands for one of Larder's, which take minutes to link statically."""
    directory.mkdir(exist_ok=True)
    source = directory / f"{name}.c"
    source.write_text(f'#include <stdio.h>\nint main(void) {{ puts("{says}"); return 0; }}\n')
    subprocess.run([tool("cc"), *(["-static"] if static else []), "-o", directory / name, source], check=True)
    return directory / name


def for_arm(program, directory):
    """The same with another architecture in its head: what the script goes by."""
    directory.mkdir()
    data = bytearray(program.read_bytes())
    struct.pack_into("<H", data, 18, ARM64)
    (directory / program.name).write_bytes(data)
    return directory / program.name


def script(*arguments, environment=None, check=True):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment)
    assert not check or done.returncode == 0, done.stderr
    return done


class Archive:
    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}

    def json(self, name):
        return json.loads(self.files[name])

    def blob(self, descriptor):
        """What a descriptor describes; its digest and size are right."""
        algorithm, digest = descriptor["digest"].split(":")
        data = self.files[f"blobs/{algorithm}/{digest}"]
        assert algorithm == "sha256" and hashlib.sha256(data).hexdigest() == digest
        assert len(data) == descriptor["size"]
        return data

    def top(self):
        (descriptor,) = self.json("index.json")["manifests"]
        return descriptor


def images(archive):
    """(manifest, configuration, layer) of each architecture, checked."""
    top = archive.top()
    described = [top] if top["mediaType"].endswith(".manifest.v1+json") else json.loads(archive.blob(top))["manifests"]
    for descriptor in described:
        manifest = json.loads(archive.blob(descriptor))
        assert manifest["schemaVersion"] == 2 and manifest["mediaType"] == descriptor["mediaType"]
        config = json.loads(archive.blob(manifest["config"]))
        assert config["architecture"] == descriptor["platform"]["architecture"] and config["os"] == descriptor["platform"]["os"] == "linux"
        (layer,) = [archive.blob(item) for item in manifest["layers"]]
        assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
        yield config, layer


@pytest.fixture
def program(tmp_path):
    return compiled(tmp_path / "amd64")


def test_the_layout_is_valid_and_the_program_in_it_runs(program, tmp_path):
    cosi = compiled(program.parent, "larder-cosi", "larder-cosi 0.1.0")
    script("--output", tmp_path / "out.tar", program, cosi)
    archive = Archive(tmp_path / "out.tar")
    assert archive.json("oci-layout") == {"imageLayoutVersion": "1.0.0"}
    assert archive.top()["annotations"]["io.containerd.image.name"] == "docker.io/library/larder:0.1.0"
    ((config, layer),) = images(archive)
    assert config["config"]["User"] == "65532:65532"
    (tmp_path / "layer.tar").write_bytes(layer)
    root = tmp_path / "root"
    with tarfile.open(tmp_path / "layer.tar") as files:
        files.extractall(root, filter="tar")
        assert files.getmember("tmp").mode == 0o1777
        assert files.getmember("data").uid == 65532
    for name in ("larder", "larder-cosi"):
        run = subprocess.run([root / "bin" / name, "--version"], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == f"{name} 0.1.0"
    assert "larder:x:65532:65532:" in (root / "etc/passwd").read_text()
    used = {f"blobs/sha256/{hashlib.sha256(data).hexdigest()}" for name, data in archive.files.items() if name.startswith("blobs/")}
    assert used == {name for name in archive.files if name.startswith("blobs/")}


def test_docker_of_old_finds_its_manifest(program, tmp_path):
    script("--output", tmp_path / "out.tar", "--name", "registry.example.com/larder:1", program)
    archive = Archive(tmp_path / "out.tar")
    (manifest,) = archive.json("manifest.json")
    assert manifest["RepoTags"] == ["registry.example.com/larder:1"]
    assert {manifest["Config"], *manifest["Layers"]} <= set(archive.files)


def test_the_same_programs_give_the_same_bytes(program, tmp_path):
    script("--output", tmp_path / "a.tar", program)
    os.utime(program, (1, 1))
    program.chmod(0o700)
    script("--output", tmp_path / "b.tar", program)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_programs_lose_their_symbols_where_a_tool_is_here(program, tmp_path):
    def size(archive):
        (tmp_path / "layer.tar").write_bytes(next(images(Archive(archive)))[1])
        with tarfile.open(tmp_path / "layer.tar") as files:
            return files.getmember("bin/larder").size

    script("--output", tmp_path / "small.tar", program)
    nowhere = {**os.environ, "PATH": str(tmp_path)}
    told = script("--output", tmp_path / "large.tar", program, environment=nowhere).stderr
    assert "keeps its symbols" in told
    assert size(tmp_path / "small.tar") < size(tmp_path / "large.tar") == program.stat().st_size


def test_several_architectures_make_an_index(program, tmp_path):
    script("--output", tmp_path / "out.tar", program, for_arm(program, tmp_path / "arm64"))
    archive = Archive(tmp_path / "out.tar")
    assert archive.top()["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [config["architecture"] for config, _ in images(archive)] == ["amd64", "arm64"]


def test_unfit_programs_are_refused_with_what_to_do(program, tmp_path):
    dynamic = compiled(tmp_path / "dynamic", static=False)
    assert "musl" in script("--output", tmp_path / "x", dynamic, check=False).stderr
    (tmp_path / "larder").write_text("#!/bin/sh\n")
    assert "no 64-bit" in script("--output", tmp_path / "x", tmp_path / "larder", check=False).stderr
    other = compiled(program.parent, "other")
    assert "none of Larder's programs" in script("--output", tmp_path / "x", other, check=False).stderr
    assert "has no tag" in script("--output", tmp_path / "x", "--name", "larder", program, check=False).stderr
    assert not (tmp_path / "x").exists()


def test_it_is_handed_to_the_engine_that_is_there(program, tmp_path):
    engines = tmp_path / "engines"
    engines.mkdir()
    (engines / "podman").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    (engines / "podman").chmod(0o755)
    environment = {"PATH": str(engines) + ":/bin:/usr/bin" if not any(os.access(f"/usr/bin/{name}", os.X_OK) for name in ("ctr", "k3s", "nerdctl")) else str(engines)}
    script("--output", tmp_path / "out.tar", "--import", program, environment=environment)
    assert (tmp_path / "said").read_text().split() == ["load", "--input", str(tmp_path / "out.tar")]


def test_the_dockerfile_makes_the_same_image(program, tmp_path):
    """It can't be run here: what it says of the image is compared."""
    script("--output", tmp_path / "out.tar", program)
    ((config, layer),) = images(Archive(tmp_path / "out.tar"))
    text = (REPOSITORY / "Dockerfile").read_text()
    final = text.rsplit("FROM scratch", 1)[1]
    assert re.search(r"^USER (\S+)$", final, re.M)[1] == config["config"]["User"]
    assert json.loads(re.search(r"^ENTRYPOINT (.+)$", final, re.M)[1]) == config["config"]["Entrypoint"]
    assert re.search(r"^ENV (\S+)$", final, re.M)[1] in config["config"]["Env"]
    assert f"{re.search(r'^EXPOSE (\d+)$', final, re.M)[1]}/tcp" in config["config"]["ExposedPorts"]
    for name, label in re.findall(r'(org\.opencontainers\.\S+)="([^"]*)"', final):
        assert config["config"]["Labels"][name] == label
    (tmp_path / "layer.tar").write_bytes(layer)
    with tarfile.open(tmp_path / "layer.tar") as files:
        for name in ("etc/passwd", "etc/group"):
            assert json.dumps(files.extractfile(name).read().decode())[1:-1] in text
