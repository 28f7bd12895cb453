"""The Helm chart: rendered, and what its files say."""

import json
import re
import subprocess
from pathlib import Path

import yaml

from .need import REPOSITORY, tool

CHART = REPOSITORY / "charts" / "larder"
RENDERED = CHART / "rendered"
SETS = ("minimal", "production", "cosi-upstream")
GENERATED = re.compile(r"^( +(?:accessKey|secretKey|metricsToken|masterKey|tls\.crt|tls\.key|ca\.crt|larder\.dev/[a-z-]+): )\S+$", re.MULTILINE)
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class Refused(Exception):
    """Helm did not render; the text says why."""


def helm(*arguments, environment=None):
    done = subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def template(values=None, *arguments, release="larder", namespace="s3"):
    """The chart rendered with VALUES (a dictionary), as text."""
    given = json.dumps(values or {})
    command = [tool("helm"), "template", release, str(CHART), "--namespace", namespace, "--values", "-", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def objects(text):
    return [item for item in yaml.safe_load_all(text) if item]


def render(values=None, *arguments, **options):
    return objects(template(values, *arguments, **options))


def one(items, kind, name=None):
    """The one object of a kind (and a name)."""
    found = [item for item in items if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name or ''}: {[(item['kind'], item['metadata']['name']) for item in items]}"
    return found[0]


def kinds(items):
    return {item["kind"] for item in items}


def committed(name):
    """What a committed value set comes out as, without what is generated anew each time."""
    values = yaml.safe_load((RENDERED / "values" / f"{name}.yaml").read_text())
    text = template(values, "--kube-version", "1.36.0")
    text = GENERATED.sub(r"\1<generated>", text)
    text = CERTIFICATE.sub("<generated>", text)
    head = f"# helm template larder charts/larder --namespace s3 --values charts/larder/rendered/values/{name}.yaml\n"
    return head + "# Written by tests/chart/write.py; what is generated is left out.\n" + text


def documented_values():
    """(path, default, text) of each value, as the comments of values.yaml say."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    stack, text, found = [], None, []
    for line in lines:
        if comment := re.match(r"\s*# -- (.*)$", line):
            text = comment[1]
        elif entry := re.match(r"(\s*)([A-Za-z]\w*):", line):
            stack = [*stack[: len(entry[1]) // 2], entry[2]]
            if text is not None:
                found.append((".".join(stack), text))
                text = None
    values = yaml.safe_load("\n".join(lines))
    return [(path, lookup(values, path), text) for path, text in found]


def lookup(values, path):
    for part in path.split("."):
        values = values[part]
    return values


def values_table():
    rows = ["| value | default | what it means |", "|---|---|---|"]
    for path, default, text in documented_values():
        shown = json.dumps(default, separators=(", ", ": ")).replace("|", "\\|")
        rows.append(f"| `{path}` | `{shown}` | {text} |".replace("| `\"\"` |", "| |"))
    return "\n".join(rows) + "\n"


TABLE = re.compile(r"(<!-- values: written by tests/chart/write.py -->\n).*?(<!-- end -->)", re.DOTALL)


def readme_with_table():
    return TABLE.sub(lambda match: match[1] + values_table() + match[2], (CHART / "README.md").read_text())


def leaves(schema, path=""):
    """Paths of a values schema that hold no further fixed names."""
    names = schema.get("properties")
    if not names:
        return {path}
    return set().union(*(leaves(below, f"{path}.{name}" if path else name) for name, below in names.items()))


def server_variables():
    """What `larder server` takes from the environment, as its help says."""
    from .server import larder_binary

    text = subprocess.run([larder_binary(), "server", "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    return set(re.findall(r"\[env: (LARDER_\w+)=", text))


def repository_file(*parts):
    return Path(REPOSITORY, *parts)


def strict(schema):
    """A schema of a CRD that refuses what it does not name, as `kubectl apply` does."""
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: strict(below) for name, below in schema["properties"].items()}
        schema.setdefault("additionalProperties", False)
    return schema


def cosi_schema(kind):
    """The schema of a kind of COSI, as the chart's CRD has it."""
    for path in (CHART / "files" / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        if spec["names"]["kind"] == kind:
            return strict(spec["versions"][0]["schema"]["openAPIV3Schema"])
    raise KeyError(kind)


def secret_formats():
    """{key: formats} of the Secrets that COSI's accesses get, as docs/secret-formats.md has them."""
    text = repository_file("docs", "secret-formats.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| ([\w, -]+) \|", text, re.MULTILINE)
    return {key: set(formats.split(", ")) for key, formats in rows}


def secret_keys():
    return set(secret_formats())
