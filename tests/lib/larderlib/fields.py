"""Which fields an object names, and which its kind is known to have.

A list of known fields is written by hand, name by name, from the documentation of whoever defines the kind: it holds what our YAML uses and no more, so
another field is first looked up there, and then added.
"""

import json

# Below these anything may stand.
FREE = {"annotations", "labels", "matchLabels", "nodeSelector", "settings", "configuration.ini", "extraFlags"}


def paths(node, path=""):
    """`spec.servers[].url` of each field."""
    if isinstance(node, list):
        for below in node:
            yield from paths(below, f"{path}[]")
    elif isinstance(node, dict):
        for name, below in node.items():
            here = f"{path}.{name}" if path else name
            yield here
            if name not in FREE:
                yield from paths(below, here)


class Known:
    """The file's table: `API/kind` to its fields."""

    def __init__(self, path):
        self.table = {kind: set(fields) for kind, fields in json.loads(path.read_text()).items()}

    @staticmethod
    def kind(item):
        return f"{item['apiVersion']} {item['kind']}"

    def has(self, item):
        return self.kind(item) in self.table

    def check(self, item):
        """Raises where a field is not known."""
        unknown = set(paths(item)) - self.table[self.kind(item)]
        if unknown:
            raise ValueError(f"{self.kind(item)} is not known to have {', '.join(sorted(unknown))}")
