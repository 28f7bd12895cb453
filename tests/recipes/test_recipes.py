"""Recipes for operators: the YAML names only fields of the operators' CRDs, and of Secrets only the keys that Larder's driver writes.

`fields.json` has the fields that the pages use, each looked up in the operator's documented API, in the version that the page names.
"""

import re
import subprocess

import pytest
import yaml
from larderlib import chart
from larderlib.fields import Known
from larderlib.need import library, tool

RECIPES = chart.repository_file("docs", "recipes")
PAGES = sorted(path.name for path in RECIPES.glob("*.md"))
KNOWN = Known(chart.repository_file("tests", "recipes", "fields.json"))
# The Secret of the access in all recipes.
SECRET = "backups"
# Fields that name a Secret alone, whose keys the operator knows itself.
NAMED_ALONE = {"credentialsSecret": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (RECIPES / page).read_text(), re.MULTILINE | re.DOTALL)


def documents(page):
    return [item for block in blocks(page, "yaml") for item in yaml.safe_load_all(block) if item]


def check(item):
    if KNOWN.has(item):
        KNOWN.check(item)
    elif item["apiVersion"].startswith("objectstorage.k8s.io/"):
        library("jsonschema").validate(item, chart.cosi_schema(item["kind"]))
    else:
        library("kubernetes_validate").validate(item, "1.36", strict=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_field_is_the_operators(page):
    items = documents(page)
    assert items, "a recipe without YAML"
    for item in items:
        if "kind" in item:
            check(item)
        else:
            assert page == "harbor.md", "values of a chart"


@pytest.mark.parametrize(("page", "kind"), [("cloudnativepg.md", "ObjectStore"), ("velero.md", "BackupStorageLocation"), ("vitess.md", "VitessCluster"), ("etcd.md", "CronJob"), ("README.md", "BucketClaim")])
def test_a_field_that_is_not_there_is_found(page, kind):
    item = next(item for item in documents(page) if item["kind"] == kind)
    item["spec"]["misspelt"] = "x"
    with pytest.raises(Exception, match="misspelt"):
        check(item)


def references(node):
    """(name, key) of each Secret that YAML refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("secret"), dict) and "items" in node["secret"]:
            yield from ((node["secret"]["name"], item["key"]) for item in node["secret"]["items"])
        if isinstance(node.get("name"), str) and isinstance(node.get("key"), str):
            yield node["name"], node["key"]
        for field, keys in NAMED_ALONE.items():
            if field in node:
                yield from ((node[field], key) for key in keys)
        for below in node.values():
            yield from references(below)
    elif isinstance(node, list):
        for below in node:
            yield from references(below)


def made_by(page):
    """(name, key) of each Secret that a page has made, and what it takes from that of the access."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    made = set()
    for line in re.findall(r"create secret generic (.+)", text):
        name = line.split()[0]
        made |= {(name, key) for key in re.findall(r"--from-literal=(\w+)=", line)}
        made |= {(name, key.split("=")[0]) for key in re.findall(r"--from-file=(\S+)", line)}
    return made, set(re.findall(r"\$\(secret (\w+)\)", text))


@pytest.mark.parametrize("page", PAGES)
def test_secrets_have_the_keys_that_are_taken_from_them(page):
    made, taken = made_by(page)
    common, _ = made_by("README.md")
    found = set(references(documents(page)))
    ours = {key for name, key in found if name == SECRET} | taken
    assert ours <= chart.secret_keys(), "keys that Larder's driver does not write"
    assert {(name, key) for name, key in found if name != SECRET} <= made | common
    assert page == "README.md" or ours, "a recipe that does not use the access's Secret"


@pytest.mark.parametrize("page", PAGES)
def test_keys_are_in_a_format_that_the_page_asks_for(page):
    formats = chart.secret_formats()
    text = (RECIPES / page).read_text()
    asked = {name for names in re.findall(r"secretFormats: (\S+)", text) for name in names.split(",")} | set(re.findall(r"the format `(\w+)`", text))
    for key in {key for name, key in references(documents(page)) if name == SECRET}:
        assert formats[key] & (asked | {"aws", "always", "all"}), f"{key} is in {formats[key]} only"


def test_the_table_has_every_page():
    text = (RECIPES / "README.md").read_text()
    assert set(re.findall(r"\]\((\w[\w-]*\.md)\)", text)) == set(PAGES) - {"README.md"}
    for page in PAGES:
        assert page == "README.md" or re.search(r"^(Checked against|Built-in kinds|.*Checked against)", (RECIPES / page).read_text(), re.MULTILINE), f"{page} does not say which version it was checked against"


def test_the_command_that_takes_a_key_out_of_a_secret_does():
    """kubectl's template of README.md, on a Secret that kubectl makes."""
    function = re.search(r"-o (go-template=\"[^\n]+?\"); }", (RECIPES / "README.md").read_text())[1]
    template = function.replace("$1", "AWS_ACCESS_KEY_ID").replace('\\"', '"').removeprefix('go-template="').removesuffix('"')
    command = [tool("kubectl"), "create", "secret", "generic", SECRET, "--from-literal=AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "--dry-run=client", "-o", f"go-template={template}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "AKIAEXAMPLE", done.stderr
