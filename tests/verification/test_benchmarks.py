"""The other side of the comparisons is where its template says."""

import re

from local.build import ROOT

TEMPLATE = ROOT / "verification" / "benchmarks" / "usual_recipe" / "template.yaml"


def test_every_folder_of_the_usual_recipe_exists() -> None:
    folders = re.findall(r"(?:Code|Content)Uri: (\S+)", TEMPLATE.read_text())
    assert len(folders) == 4
    assert [each for each in folders if not (ROOT / each).is_dir()] == []
