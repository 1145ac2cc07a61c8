"""``template.yaml``, read once for all tests: it takes most of a second."""

from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

TEMPLATE: dict[str, Any] = yaml_parse((Path(__file__).parents[1] / "template.yaml").read_text())
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
