"""The chart renders what Kubernetes takes, with every feature on and off, and what is committed is what it renders."""

import json
import re

import pytest
import yaml
from larderlib import chart
from larderlib.chart import Refused, kinds, one, render
from larderlib.fields import Known
from larderlib.need import library

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36")

TLS = {"enabled": True}
VAULT = {"server": {"settings": {"kmsVaultUrl": "https://vault:8200", "kmsVaultTimeout": "3s"}}, "encryption": {"kms": {"vaultTokenSecret": "v", "vaultCaSecret": "c", "keysSecret": "k"}}}
# Each feature by itself; production and cosi-upstream have many at once.
FEATURES = {
    "one disk": {"disks": {"count": 1}},
    "twelve disks": {"disks": {"count": 12}, "server": {"profile": "8+4"}},
    "a disk removed": {"disks": {"count": 5, "removed": [2]}},
    "other disks": {"disks": {"storageClass": "-", "selector": {"matchLabels": {"a": "b"}}, "labels": {"x": "y"}, "annotations": {"x": "y"}, "overrides": {"2": {"size": "1Ti", "storageClass": "fast"}}}},
    "view": {"view": {"enabled": True}},
    "root secret": {"rootCredentials": {"existingSecret": "mine", "accessKeyKey": "a", "secretKeyKey": "b"}},
    "root pair": {"rootCredentials": {"accessKey": "admin", "secretKey": "change-me-please"}},
    "master key": {"encryption": {"masterKey": {"generate": True}}},
    "master key of one's own": {"encryption": {"masterKey": {"existingSecret": "keys", "key": "k"}}},
    "vault": VAULT,
    "accounts": {"accounts": {"existingSecret": "a"}, "notifications": {"existingSecret": "n"}},
    "oidc": {"oidc": {"clusterIssuer": {"enabled": True}}},
    "oidc of others": {"oidc": {"caConfigMap": "authorities"}},
    "audit": {"audit": {"enabled": True, "path": "/audit/audit.log"}, "extraVolumes": [{"name": "audit", "emptyDir": {}}], "extraVolumeMounts": [{"name": "audit", "mountPath": "/audit"}]},
    "tls self-made": {"tls": TLS},
    "tls cert-manager": {"tls": {**TLS, "source": "certManager", "certManager": {"issuerRef": {"name": "ca"}}, "ipAddresses": ["192.0.2.1"]}},
    "tls of a public authority": {"tls": {**TLS, "source": "certManager", "publicCA": True, "serviceNames": False, "dnsNames": ["s3.example.com"], "certManager": {"issuerRef": {"name": "acme"}}}, "cosi": {"endpoint": "https://s3.example.com"}, "metrics": {"serviceMonitor": {"enabled": True}}},
    "tls of a public authority, plain within": {"tls": {**TLS, "source": "secret", "existingSecret": "t", "publicCA": True, "serviceNames": False, "dnsNames": ["s3.example.com"], "plainHttp": {"enabled": True}}},
    "tls secret": {"tls": {**TLS, "source": "secret", "existingSecret": "mine"}},
    "tls and plain": {"tls": {**TLS, "plainHttp": {"enabled": True}}},
    "client certificates": {"tls": {**TLS, "plainHttp": {"enabled": True}, "clientCA": {"existingSecret": "authorities"}}},
    "client certificates if any": {"tls": {**TLS, "clientCA": {"existingSecret": "authorities", "auth": "optional"}}},
    "load balancer": {"service": {"type": "LoadBalancer", "loadBalancerClass": "x/y", "loadBalancerSourceRanges": ["192.0.2.0/24"], "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack", "annotations": {"a": "b"}, "nodePort": 30900}},
    "node port": {"service": {"type": "NodePort", "nodePort": 30900}},
    "ingress": {"ingress": {"enabled": True, "hosts": ["s3.example.com"]}},
    "route": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}},
    "route to tls": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}, "tls": TLS},
    "route to a public authority": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}, "tls": {**TLS, "source": "secret", "existingSecret": "t", "publicCA": True}},
    "monitor": {"metrics": {"serviceMonitor": {"enabled": True, "relabelings": [{"action": "labeldrop", "regex": "pod"}], "metricRelabelings": [{"action": "drop", "regex": "x", "sourceLabels": ["a"]}]}}},
    "monitor with tls": {"metrics": {"serviceMonitor": {"enabled": True}}, "tls": TLS},
    "monitor with client certificates": {"metrics": {"serviceMonitor": {"enabled": True}}, "tls": {**TLS, "plainHttp": {"enabled": True}, "clientCA": {"existingSecret": "a"}}},
    "rules": {"metrics": {"prometheusRule": {"enabled": True, "disabled": ["LarderDegraded"], "extraGroups": [{"name": "mine", "rules": [{"record": "a", "expr": "1"}]}]}}},
    "dashboard": {"metrics": {"dashboard": {"enabled": True}}},
    "no budget": {"podDisruptionBudget": {"enabled": False}},
    "a budget of one's own": {"podDisruptionBudget": {"maxUnavailable": 0}},
    "network policy": {"networkPolicy": {"enabled": True}},
    "network policy, strict": {"networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "metricsFrom": [{"podSelector": {}}], "egress": {"enabled": True, "rules": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}], "cosiRules": [{"ports": [{"port": 443}]}]}}},
    "no service account": {"serviceAccount": {"create": False, "name": "mine"}, "cosi": {"serviceAccount": {"create": False, "name": "theirs"}}},
    "pods": {
        "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "priorityClassName": "p", "runtimeClassName": "r", "schedulerName": "s", "nodeSelector": {"n": "m"},
        "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}}, "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["h"]}], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}], "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "initContainers": [{"name": "i", "image": "x"}], "extraContainers": [{"name": "e", "image": "x"}], "probes": {"startup": None, "liveness": {"httpGet": None, "tcpSocket": {"port": "s3"}}},
    },
    "server": {"server": {"extraArgs": ["--max-requests=9"], "extraEnv": [{"name": "A", "value": "b"}], "extraEnvFrom": [{"secretRef": {"name": "s"}}], "serviceDomains": False, "listenAddress": "[::]"}},
    "no cosi": {"cosi": {"enabled": False}},
    "two drivers": {"cosi": {"replicas": 2}},
    "no crds": {"cosi": {"installCRDs": False}},
    "no controllers": {"cosi": {"controllers": "off", "sidecar": {"enabled": True}}},
    "no rbac": {"cosi": {"rbac": {"create": False}}},
    "no aggregation": {"cosi": {"rbac": {"aggregate": False}}},
    "driver": {
        "cosi": {
            "driverName": "cosi.example.com", "endpoint": "https://s3.example.com", "externalEndpoint": "https://out.example.com", "credentials": {"existingSecret": "c"}, "oidc": {"provider": "https://o", "audience": "a"},
            "extraEnv": [{"name": "A", "value": "b"}], "extraArgs": ["--x"], "extraVolumes": [{"name": "v", "emptyDir": {}}], "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}], "image": {"repository": "r", "tag": "t"},
            "podAnnotations": {"a": "b"}, "podLabels": {"a": "b"}, "priorityClassName": "p", "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
        }
    },
    "classes": {"cosi": {"bucketClasses": [{"name": "a", "deletionPolicy": "Delete", "parameters": {"quotaObjects": 10000000}}], "bucketAccessClasses": [{"name": "b", "authenticationType": "IAM", "annotations": {"x": "y"}}]}},
    "no classes": {"cosi": {"bucketClasses": [], "bucketAccessClasses": []}},
    "names": {"nameOverride": "store", "fullnameOverride": "backups", "commonAnnotations": {"a": "b"}, "commonLabels": {"c": "d"}, "clusterDomain": "example.internal"},
    "image": {"image": {"registry": "r.example.com", "digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "s"}]},
    "extra objects": {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-y'}"]},
}


def committed_values(name):
    return yaml.safe_load((chart.RENDERED / "values" / f"{name}.yaml").read_text())


ALL = {**FEATURES, **{name: committed_values(name) for name in chart.SETS}}


KNOWN = Known(chart.repository_file("tests", "chart", "fields.json"))


def check(item, version):
    """Raises where Kubernetes, or the CRD of who defines the kind, would refuse the object or warn of an unknown field."""
    if item["apiVersion"] == "objectstorage.k8s.io/v1alpha1":
        library("jsonschema").validate(item, chart.cosi_schema(item["kind"]))
    elif KNOWN.has(item):
        KNOWN.check(item)
    else:
        library("kubernetes_validate").validate(item, version, strict=True)


@pytest.fixture(scope="module")
def rendered():
    return {name: render(values) for name, values in ALL.items()}


def test_lint_has_nothing_to_say():
    for name in chart.SETS:
        said = chart.helm("lint", "--strict", str(chart.CHART), "--values", str(chart.RENDERED / "values" / f"{name}.yaml"))
        assert "WARNING" not in said and "ERROR" not in said, said


@pytest.mark.parametrize("name", chart.SETS)
def test_committed_manifests_are_what_the_chart_renders(name):
    assert (chart.RENDERED / f"{name}.yaml").read_text() == chart.committed(name), "run tests/chart/write.py and commit what it writes"


def test_readme_has_all_values():
    assert (chart.CHART / "README.md").read_text() == chart.readme_with_table(), "run tests/chart/write.py and commit what it writes"


def test_schema_and_values_name_the_same():
    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    documented = {path for path, _, _ in chart.documented_values()}
    for path in leaves_of_values(values, schema):
        assert any(f"{path}.".startswith(f"{known}.") or known.startswith(f"{path}.") for known in documented), f"{path} has no comment in values.yaml"
    for path in documented:
        below = schema
        for part in path.split("."):
            below = below.get("properties", {}).get(part)
            assert below is not None or path.split(".")[0] in ("podSecurityContext", "securityContext", "resources", "probes"), f"{path} is not in values.schema.json"
            if below is None:
                break


def leaves_of_values(values, schema, path=""):
    if not isinstance(values, dict) or not values or "properties" not in schema:
        return {path}
    return set().union(*(leaves_of_values(below, schema["properties"][name], f"{path}.{name}" if path else name) for name, below in values.items()))


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_committed_sets(rendered, version):
    for name in chart.SETS:
        for item in rendered[name]:
            check(item, version)


@pytest.mark.parametrize("name", FEATURES)
def test_kubernetes_takes_each_feature(rendered, name):
    for item in rendered[name]:
        check(item, VERSIONS[-1])


def test_misspelt_fields_are_found():
    """The checks themselves: each sort of object is refused with a field that is not there."""
    items = render(committed_values("production"))
    for kind in ("StatefulSet", "Certificate", "ServiceMonitor", "HTTPRoute", "BucketClass"):
        item = next(item for item in items if item["kind"] == kind)
        below = item if kind == "BucketClass" else item["spec"]
        below["misspelt"] = "x"
        with pytest.raises(Exception, match="misspelt"):
            check(item, VERSIONS[-1])


def test_crds_say_that_they_are_approved():
    """Without it the API server establishes no group of `k8s.io`."""
    for path in (chart.CHART / "files" / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        assert crd["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("https://github.com/kubernetes/enhancements/")


@pytest.mark.parametrize(
    "values",
    [
        {"diks": {"count": 4}},
        {"disks": {"cuont": 4}},
        {"disks": {"count": 0}},
        {"disks": {"count": "four"}},
        {"disks": {"size": "1TB!"}},
        {"disks": {"overrides": {"disk-2": {"size": "1Ti"}}}},
        {"disks": {"overrides": {"2": {"class": "fast"}}}},
        {"replicas": 3},
        {"server": {"profile": "2x2"}},
        {"server": {"settings": {"scrub_days": 7}}},
        {"server": {"settings": {"scrubDays": "weekly"}}},
        {"server": {"settings": {"data": ["/x"]}}},
        {"tls": {"source": "letsencrypt"}},
        {"cosi": {"controllers": "on"}},
        {"cosi": {"driverName": "Larder"}},
        {"cosi": {"bucketClasses": [{"name": "a", "reclaimPolicy": "Delete"}]}},
        {"cosi": {"bucketClasses": [{"deletionPolicy": "Delete"}]}},
        {"ingress": {"host": "s3.example.com"}},
        {"rootCredentials": {"accessKey": "admin", "secretKey": "short"}},
    ],
    ids=json.dumps,
)
def test_misspelt_values_are_refused(values):
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        render(values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tls": {"enabled": True, "source": "certManager"}}, "issuerRef.name"),
        ({"tls": {"enabled": True, "source": "secret"}}, "tls.existingSecret"),
        ({"tls": {"enabled": True, "clientCA": {"existingSecret": "a"}}}, "shows no certificate"),
        ({"tls": {"enabled": True, "serviceNames": False}, "cosi": {"enabled": False}}, "no name"),
        ({"tls": {"enabled": True, "serviceNames": False, "dnsNames": ["s3.example.com"]}}, "can't check the certificate"),
        ({"rootCredentials": {"existingSecret": "a", "accessKey": "admin", "secretKey": "long enough"}}, "both set"),
        ({"rootCredentials": {"accessKey": "admin"}}, "or neither"),
        ({"encryption": {"masterKey": {"generate": True, "existingSecret": "a"}}}, "both set"),
        ({"disks": {"count": 1, "removed": [1]}}, "none is left"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"metrics": {"serviceMonitor": {"enabled": True}}, "rootCredentials": {"existingSecret": "a"}}, "metrics.existingSecret"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_values_that_cannot_work_are_refused_with_what_to_set(values, why):
    with pytest.raises(Refused, match=re.escape(why)):
        render(values)


def containers(items):
    for item in items:
        spec = item.get("spec", {})
        pod = spec if item["kind"] == "Pod" else spec.get("template", {}).get("spec", {})
        if pod:
            yield from ((item, pod, container) for container in [*pod.get("initContainers", []), *pod.get("containers", [])] if container.get("image") != "x")


@pytest.mark.parametrize("name", [name for name in ALL if name != "no service account"])
def test_pods_keep_to_the_restricted_standard(rendered, name):
    for _, pod, container in containers(rendered[name]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["memory"]
        assert pod["enableServiceLinks"] is False, "variables of a Service called larder look like settings"


def test_tokens_are_where_they_are_used(rendered):
    """Only the driver talks to the API server."""
    for item, pod, _ in containers(rendered["production"]):
        assert pod["automountServiceAccountToken"] is (item["kind"] == "Deployment")


@pytest.mark.parametrize("name", ALL)
def test_references_lead_somewhere(rendered, name):
    """Volumes that are mounted are there; Secrets of the chart's own have the keys that are taken from them; Services select pods."""
    items = rendered[name]
    claims = {claim["metadata"]["name"] for item in items if item["kind"] == "StatefulSet" for claim in item["spec"]["volumeClaimTemplates"]}
    for _, pod, container in containers(items):
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    secrets = {item["metadata"]["name"]: item["data"] for item in items if item["kind"] == "Secret"}
    for _, pod, _ in containers(items):
        for source in secret_sources(pod):
            own = secrets.get(source.get("name") or source.get("secretName"))
            assert own is None or {key["key"] for key in source["items"]} <= set(own)
    labels = [pod_labels(item) for item in items if item["kind"] in ("StatefulSet", "Deployment")]
    for service in (item for item in items if item["kind"] == "Service"):
        assert any(service["spec"]["selector"].items() <= pod.items() for pod in labels)


def pod_labels(item):
    return item["spec"]["template"]["metadata"]["labels"]


def secret_sources(pod):
    for volume in pod.get("volumes", []):
        if "secret" in volume:
            yield volume["secret"]
        yield from (source["secret"] for source in volume.get("projected", {}).get("sources", []) if "secret" in source)


def environment(items, kind="StatefulSet"):
    pod = one(items, kind)["spec"]["template"]["spec"]
    return {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}


# Secrets, and what commands within the pod read, are no settings of `larder server`.
NOT_SETTINGS = {"LARDER_ROOT_ACCESS_KEY_FILE", "LARDER_ROOT_SECRET_KEY_FILE", "LARDER_METRICS_TOKEN_FILE", "LARDER_MASTER_KEY_FILE", "LARDER_ENDPOINT", "A"}


def test_every_variable_is_the_servers(rendered):
    known = chart.server_variables()
    used = set().union(*(environment(items) for items in rendered.values()))
    assert used - NOT_SETTINGS <= known
    settings = json.loads((chart.CHART / "values.schema.json").read_text())["properties"]["server"]["properties"]["settings"]["properties"]
    values = {name: {"trustedProxies": ["a", "b"]}.get(name, example(schema)) for name, schema in settings.items()}
    all_set = environment(render({"server": {"settings": values}, **{key: FEATURES["vault"][key] for key in ("encryption",)}}))
    assert set(all_set) - NOT_SETTINGS <= known
    assert all_set["LARDER_TRUSTED_PROXY"] == "a,b"
    assert known - set(all_set) - used == {"LARDER_CONFIG", "LARDER_ADDRESS_FILE"}, "a setting of the server that the chart can't set"


def example(schema):
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    texts = {"^https?://": "https://x", "^[0-9]+(ms|s|m|h)$": "5s", "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$": "1MiB"}
    return {"boolean": True, "integer": schema.get("minimum", 0) + 7, "array": ["x"]}.get(kind, texts.get(schema.get("pattern"), "x"))


def test_numbers_stay_numbers():
    assert environment(render({"server": {"settings": {"maxConnections": 1000000}}}))["LARDER_MAX_CONNECTIONS"] == "1000000"


def test_a_removed_disk_leaves_the_names_of_the_others():
    items = render(FEATURES["a disk removed"])
    assert environment(items)["LARDER_DATA"] == "/data/disk-1,/data/disk-3,/data/disk-4,/data/disk-5"
    templates = one(items, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert [claim["metadata"]["name"] for claim in templates] == ["disk-1", "disk-3", "disk-4", "disk-5"]


def test_an_upgrade_of_the_chart_alone_restarts_nothing():
    """Versions are in no pod's template, and in no volume claim's, which can't be changed."""
    item = one(render({"image": {"tag": "x"}}), "StatefulSet")
    assert "helm.sh/chart" not in json.dumps(item["spec"]) and "app.kubernetes.io/version" not in json.dumps(item["spec"])


@pytest.mark.parametrize(
    ("disks", "profile", "replicas", "expected"),
    [(4, "", 1, 1), (1, "4+2", 6, 1), (1, "8+4", 12, 3), (2, "8+4", 6, 1), (1, "1+1", 2, 1), (1, "", 8, 2), (4, "8+5", 6, 1)],
)
def test_the_disruption_budget_follows_the_profile(disks, profile, replicas, expected):
    """As many pods as leave k+1 shards, which writes need. Several pods can't be set yet: the rule is there for them."""
    items = render({"disks": {"count": disks}, "server": {"profile": profile}, "replicas": replicas}, "--skip-schema-validation")
    assert one(items, "PodDisruptionBudget")["spec"]["maxUnavailable"] == expected


def test_probes_ask_where_they_are_answered():
    def port(values):
        container = one(render(values), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
        asked = {(container[f"{kind}Probe"]["httpGet"]["port"], container[f"{kind}Probe"]["httpGet"]["scheme"]) for kind in ("startup", "liveness", "readiness")}
        ports = {item["name"] for item in container["ports"]}
        assert {name for name, _ in asked} <= ports
        return asked

    assert port({}) == {("s3", "HTTP")}
    assert port(FEATURES["tls self-made"]) == {("s3", "HTTPS")}
    assert port(FEATURES["client certificates"]) == {("http", "HTTP")}


def test_features_that_are_off_leave_nothing():
    assert kinds(render({"cosi": {"enabled": False}, "podDisruptionBudget": {"enabled": False}, "serviceAccount": {"create": False}})) == {"StatefulSet", "Service", "Secret", "Pod"}


def test_generated_certificates_are_right(tmp_path):
    """The self-made authority has signed a certificate for the Service's names."""
    import base64
    import subprocess

    items = render(FEATURES["tls self-made"])
    leaf, ca = one(items, "Secret", "larder-tls")["data"], one(items, "ConfigMap", "larder-ca")["data"]["ca.crt"]
    (tmp_path / "leaf.pem").write_bytes(base64.b64decode(leaf["tls.crt"]))
    (tmp_path / "ca.pem").write_text(ca)
    assert base64.b64decode(leaf["ca.crt"]).decode().strip() == ca.strip()
    for name in ("larder.s3.svc", "larder.s3.svc.cluster.local", "bucket.larder.s3.svc", "larder-0.larder-headless.s3.svc.cluster.local"):
        subprocess.run(["openssl", "verify", "-CAfile", tmp_path / "ca.pem", "-verify_hostname", name, tmp_path / "leaf.pem"], check=True, capture_output=True)


def test_the_driver_sees_no_key_of_the_certificate(rendered):
    for name in ("production", "cosi-upstream"):
        pod = one(rendered[name], "Deployment")["spec"]["template"]["spec"]
        assert [source["items"] for source in secret_sources(pod) if source["secretName"] == "larder-tls"] == [[{"key": "ca.crt", "path": "ca.crt"}]]


def rules_of(items, container):
    """What the roles of a container allow: {(where, group, resource): (verbs, names)}."""
    allowed = {}
    for kind, where in (("ClusterRole", "cluster"), ("Role", "own-namespace")):
        for rule in one([item for item in items if item["kind"] == kind and item["metadata"]["name"].endswith(f"-{container}")], kind)["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    key = where, group, resource
                    assert key not in allowed
                    allowed[key] = set(rule["verbs"]), rule.get("resourceNames")
    return allowed


@pytest.mark.parametrize("mode", ["auto", "standalone", "repair"])
def test_the_controllers_may_what_they_ask_for_and_nothing_else(mode):
    asked = json.loads(chart.repository_file("docs", "cosi-rbac.json").read_text())[mode]
    expected = {(rule["scope"], group, resource): (set(rule["verbs"]), None) for rule in asked for group in rule["apiGroups"] for resource in rule["resources"]}
    # The lease of upstream's controller, by its name and wherever it is: its namespace may not exist yet.
    if verbs := expected.pop(("upstream-namespace", "coordination.k8s.io", "leases"), None):
        expected["cluster", "coordination.k8s.io", "leases"] = verbs[0], ["leader-lock-cosi-controller-manager"]
    assert rules_of(render({"cosi": {"controllers": mode}}), "controllers") == expected


def test_the_charts_table_of_rights_is_the_drivers():
    assert (chart.CHART / "files" / "rbac-controllers.json").read_text() == chart.repository_file("docs", "cosi-rbac.json").read_text(), "copy docs/cosi-rbac.json"


def test_nobody_reads_all_secrets():
    for mode in ("auto", "repair"):
        rules = rules_of(render({"cosi": {"controllers": mode, "sidecar": {"enabled": True}}}), "controllers")
        assert not {"list", "watch"} & rules["cluster", "", "secrets"][0]


def test_without_controllers_there_are_no_rights():
    assert not {"ClusterRoleBinding", "RoleBinding"} & kinds(render({"cosi": {"controllers": "off"}}))


def test_the_driver_reaches_the_store_where_it_can():
    def endpoint(values):
        (argument,) = [item for item in one(render(values), "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"] if item.startswith("--endpoint=")]
        return argument.removeprefix("--endpoint=")

    assert endpoint({}) == "http://larder.s3.svc:9000"
    assert endpoint(FEATURES["tls self-made"]) == "https://larder.s3.svc:9000"
    assert endpoint(FEATURES["client certificates"]) == "http://larder.s3.svc:9001"
    assert endpoint(FEATURES["tls of a public authority"]) == "https://s3.example.com"
    assert endpoint(FEATURES["tls of a public authority, plain within"]) == "http://larder.s3.svc:9001"


def test_every_flag_and_variable_is_the_drivers(rendered):
    """As its source has them: a flag `--like-this` for each `LARDER_COSI_LIKE_THIS`."""
    text = "".join(path.read_text() for path in chart.repository_file("cosi-driver", "src").rglob("*.rs"))
    variables = set(re.findall(r'env = "((?:LARDER_)?COSI_\w+)"', text)) | {f"{name}_FILE" for name in re.findall(r'"(LARDER_COSI_(?:ACCESS|SECRET)_KEY)"', text)}
    flags = {"--" + name.removeprefix("LARDER_COSI_").lower().replace("_", "-") for name in variables}
    for items in rendered.values():
        for item in (item for item in items if item["kind"] == "Deployment"):
            container = item["spec"]["template"]["spec"]["containers"][0]
            assert {argument.split("=")[0] for argument in container["args"] if argument.startswith("--")} - {"--x"} <= flags
            assert {variable["name"] for variable in container["env"]} - {"A", "POD_NAME", "POD_NAMESPACE"} <= variables
