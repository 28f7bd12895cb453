"""The driver's controllers beside an API server: the fake one, or the real one where KUBE_APISERVER names its program."""

import pytest
from larderlib.cosi import Driver
from larderlib.kubectl import cluster


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("kube")) as kube:
        kube.apply_file("charts/larder/files/crds")
        kube.until_served("bucketclaims.objectstorage.k8s.io")
        yield kube


@pytest.fixture(scope="module")
def driver(server, kube):
    with Driver(server, extra_args=["--controllers", "standalone", "--kubeconfig", str(kube.kubeconfig)]) as driver:
        yield driver
