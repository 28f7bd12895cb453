"""Alerts and the dashboard ask for metrics and labels that a running server has."""

import json
import re
import urllib.request

import pytest
from larderlib import chart
from larderlib.clients import boto, unique_bucket
from larderlib.server import Larder
from larderlib.tls import Authority

TOKEN = "token-of-the-tests"
FUNCTIONS = {"on", "instance", "absent", "by", "count", "increase", "max", "min", "rate", "sum", "time", "topk", "vector", "histogram_quantile", "and", "or", "up", "code"}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """{name: labels} of a server that has served something, and has a certificate and a target of notifications."""
    directory = tmp_path_factory.mktemp("metrics")
    authority = Authority(directory / "authority")
    targets = directory / "targets.toml"
    targets.write_text('[[target]]\nname = "hook"\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n')
    environment = {"LARDER_METRICS_TOKEN": TOKEN, "LARDER_NOTIFY_TARGETS": str(targets)}
    with Larder(directory / "server", tls=authority.issue(), authority=authority, environment=environment) as server:
        bucket = unique_bucket()
        boto(server).create_bucket(Bucket=bucket)
        request = urllib.request.Request(f"{server.endpoint}/_larder/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, context=authority.context()) as answer:
            text = answer.read().decode()
    found = {}
    for name in re.findall(r"^# TYPE (\S+)", text, re.M):
        found[name] = set()
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {**found, **metrics_of_the_driver()}


def metrics_of_the_driver():
    """{name: labels}, as its source has them: it shows them in a cluster only."""
    text = chart.repository_file("cosi-driver", "src", "controllers", "metrics.rs").read_text()
    names = set(re.findall(r'"(larder_cosi_[a-z_]+)"', text))
    assert "larder_cosi_leader" in names
    histograms = {f"{name}_bucket" for name in names if name.endswith("_seconds")}
    return {**dict.fromkeys(names, {"kind", "outcome"}), **dict.fromkeys(histograms, {"le"})}


def rules():
    items = chart.render({"metrics": {"prometheusRule": {"enabled": True}}})
    return chart.one(items, "PrometheusRule")["spec"]["groups"][0]["rules"]


def dashboard():
    items = chart.render({"metrics": {"dashboard": {"enabled": True}}})
    (text,) = chart.one(items, "ConfigMap")["data"].values()
    return json.loads(text)


def expressions():
    yield from ((rule["alert"], rule["expr"], re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) for rule in rules())
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])


def names(expression):
    """The metrics that an expression asks for."""
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", "", expression)
    return set(re.findall(r"[a-z_]{3,}", plain)) - FUNCTIONS


def test_every_metric_is_the_servers(metrics):
    asked = {name for _, expression, _ in expressions() for name in names(expression)}
    assert len(asked) > 25
    assert asked <= set(metrics)


def test_every_label_is_the_metrics(metrics):
    scraped = {"namespace", "service"}
    for title, expression, shown in expressions():
        matched = set(re.findall(r'(\w+)(?:=~|!=|!~|=)"', expression)) - scraped
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        there = set().union(*(metrics.get(name, set()) for name in names(expression)), set())
        assert matched | grouped | set(shown) <= there, title


def test_sides_of_and_have_the_same_labels_or_say_on_which(metrics):
    """Without `on`, Prometheus joins only what has all labels in common, and an alert would never fire."""
    for title, expression, _ in expressions():
        for left, right in zip(*(iter(re.split(r" (?:and|/) (?!on)", re.sub(r"\{[^}]*\}", "", expression))[at:]) for at in (0, 1))):
            sides = [set().union(*(metrics[name] for name in names(side))) for side in (left, right) if names(side)]
            assert len(sides) < 2 or sides[0] == sides[1], title


def test_a_metric_that_is_not_there_is_found(metrics):
    assert not names('rate(larder_no_such_total{namespace="a"}[5m]) > 0') <= set(metrics)


def test_alerts_say_what_to_do_and_are_in_the_runbook():
    text = chart.repository_file("docs", "kubernetes.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^#+ (Larder\w+)$", text, re.M)}
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"] and len(rule["annotations"]["description"]) > 30
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
        assert rule["alert"].lower() in headings, f"docs/kubernetes.md has no heading {rule['alert']}"
    assert headings == {rule["alert"].lower() for rule in rules()}


def test_alerts_watch_this_release_only():
    for rule in rules():
        service = "larder-cosi" if "Cosi" in rule["alert"] else "larder"
        for matchers in re.findall(r"(?:larder_\w+|up)\{([^}]*)\}", rule["expr"]):
            assert 'namespace="s3"' in matchers and f'service="{service}"' in matchers, rule["alert"]
        assert re.findall(r"larder_\w+(?!\w|\{)", rule["expr"]) == [], f"{rule['alert']}: a metric without matchers"
