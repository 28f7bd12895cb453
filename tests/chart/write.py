"""Writes what of the chart is made from the rest of it: rendered manifests, and the table of values in its README.

    .cache/venv/bin/python tests/chart/write.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from larderlib import chart  # noqa: E402


def main():
    for name in chart.SETS:
        (chart.RENDERED / f"{name}.yaml").write_text(chart.committed(name))
    (chart.CHART / "README.md").write_text(chart.readme_with_table())


if __name__ == "__main__":
    main()
