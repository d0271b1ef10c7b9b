"""The chart carries the generated definitions, unchanged, and never takes them away."""

from __future__ import annotations

import pytest
import yaml

from tests.chart.rendering import CHART, ROOT, of_kind, render

GENERATED = sorted((ROOT / "crds").glob("*.yaml"))


def test_the_chart_holds_the_generated_files() -> None:
    inside = {path.name: path.read_bytes() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert GENERATED, "run `make crds`"
    assert inside == {path.name: path.read_bytes() for path in GENERATED}


def test_they_are_rendered_with_every_field() -> None:
    rendered = {crd["metadata"]["name"]: crd["spec"] for crd in of_kind(render(), "CustomResourceDefinition")}
    generated = [yaml.safe_load(path.read_text()) for path in GENERATED]
    assert rendered == {crd["metadata"]["name"]: crd["spec"] for crd in generated}


def test_they_stay_when_the_release_goes() -> None:
    annotations = [crd["metadata"]["annotations"] for crd in of_kind(render(), "CustomResourceDefinition")]
    assert annotations
    assert all(annotation["helm.sh/resource-policy"] == "keep" for annotation in annotations)


@pytest.mark.parametrize("values", [("crds.install=false",)])
def test_they_can_be_left_out(values: tuple[str, ...]) -> None:
    assert not of_kind(render(*values), "CustomResourceDefinition")
