"""What Grafana and Prometheus are given: it can be read, and asks only for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from poe_proxy import errors
from poe_proxy.metrics.collected import STATES

from ..metrics.test_metrics import NAMES

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus-rules.yaml"
#: Of Prometheus's own tools, if it is installed.
PROMTOOL = shutil.which("promtool")

#: All names that may be asked for.
SERIES = {
    *(f"poe_proxy_{name}" for name in NAMES),
    *(
        f"poe_proxy_{name}_{part}"
        for name, (kind, _) in NAMES.items()
        if kind == "histogram"
        for part in ("bucket", "sum", "count")
    ),
    *("process_resident_memory_bytes", "process_open_fds", "up"),
}


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana.json").read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    """All rules of the file."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def asked() -> Iterator[tuple[str, str, str]]:
    """All that is asked for: where, the expression, and the text that names what comes of it."""
    for rule in rules():
        yield rule["alert"], rule["expr"], json.dumps(rule["annotations"])
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]
    for note in dashboard()["annotations"]["list"]:
        yield note["name"], note["expr"], note["titleFormat"]


def labels_of(name: str) -> set[str]:
    """The labels of a series, with those that Prometheus adds."""
    ours = name.removeprefix("poe_proxy_")
    bare = re.sub(r"_(bucket|sum|count)$", "", ours)
    known = NAMES.get(ours) or NAMES.get(bare) or ("", set())
    return {*known[1], "instance", "job"} | ({"le"} if name.endswith("_bucket") else set())


def mistakes(expression: str, legend: str = "") -> set[str]:
    """What is asked for that there is not: series, labels, states."""
    # In quotation marks is what labels are compared with: no name, but perhaps a bracket.
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = re.findall(r"\bpoe_proxy_\w+|\bprocess_\w+|\bup\b", bare)
    found = {*names} - SERIES
    for name, inside in re.findall(r"(\w+){([^}]*)}", bare):
        found |= {*re.findall(r"(\w+)\s*[!=]", inside)} - labels_of(name)
    # All series of an expression should have what they are put together by.
    common = set.intersection(*map(labels_of, names)) if names else set()
    by, without = (
        {label for one in re.findall(pattern, bare) for label in re.findall(r"\w+", one)}
        for pattern in (r"\b(?:by|on)\s*\(([^)]*)\)", r"\b(?:without|ignoring)\s*\(([^)]*)\)")
    )
    found |= (by | without) - common
    left = (by or common) - without
    found |= {*re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", legend)} - left
    states = re.findall(r'\bstate=~?"([^"]*)"', expression)
    return found | {one for some in states for one in some.split("|")} - STATES.keys()


@pytest.mark.parametrize(("where", "expression", "legend"), list(asked()))
def test_only_series_that_there_are_are_asked_for(where: str, expression: str, legend: str) -> None:
    """With labels that they have; a panel of another name would stay empty, and no alarm ring."""
    assert re.search(r"\b(?:poe_proxy_|process_|up\b)", expression)
    assert set() == mistakes(expression, legend), where


@pytest.mark.parametrize(
    ("expression", "legend", "found"),
    [
        (
            "sum by (modle) (rate(poe_proxy_points_total[1h]))/sum(poe_proxy_no_such_thing)",
            "",
            {"modle", "poe_proxy_no_such_thing"},
        ),
        ("sum without(modle)(poe_proxy_points_total)", "", {"modle"}),
        ("sum without (code) (poe_proxy_requests_total)", "{{client}} {{code}}", {"code"}),
        ('poe_proxy_accounts{stat="free"}', "", {"stat"}),
        ('poe_proxy_accounts{state=~"free|fre"}', "", {"fre"}),
        ("sum by (le) (poe_proxy_store_seconds_sum)", "", {"le"}),
        ("sum by (client) (poe_proxy_points_total)", "{{model}}, {{client}}", {"model"}),
        ("sum by (client) (poe_proxy_points_total)", "{{ $labels.model }}", {"model"}),
        ("poe_proxy_points_total", "{{modle}}", {"modle"}),
        ('up{job="poe-proxy"}', "", set()),
    ],
)
def test_what_there_is_not_is_found(expression: str, legend: str, found: set[str]) -> None:
    """Wherever it stands."""
    assert found == mistakes(expression, legend)


def test_the_code_of_an_alarm_is_one_that_there_is() -> None:
    """It is not renamed without the rule."""
    used = set(re.findall(r'code="(\w+)"', RULES.read_text("utf-8")))
    codes = {getattr(one, "code", None) for one in vars(errors).values()}

    assert used
    assert used <= codes


def test_each_rule_says_what_is_wrong() -> None:
    """In a line, and in a sentence."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} == rule["annotations"].keys()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Each panel has a place of its own on the 24 columns, and asks the chosen Prometheus."""
    board = dashboard()
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for one in places
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]

    assert {"datasource", "instance"} == {one["name"] for one in board["templating"]["list"]}
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    for panel in board["panels"]:
        assert panel["title"]
        assert chosen == panel["datasource"]
        assert all(chosen == target["datasource"] for target in panel["targets"])


def test_prometheus_is_told_where_the_rules_are() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text("utf-8"))

    assert [RULES.name] == config["rule_files"]
    assert ["poe-proxy"] == [job["job_name"] for job in config["scrape_configs"]]


#: Why a test is left out where it is not installed: `make test` has to run anywhere.
_LEFT_OUT = "promtool is not installed; .ci/run does that, and the tests above read the same files"
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=_LEFT_OUT)


@needs_promtool
def test_prometheus_can_read_all_of_it(tmp_path: Path) -> None:
    """By its own parser: the rules, the configuration, and what each panel asks for."""
    panels = [
        {"record": f"x{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, (_, expression, _) in enumerate(asked())
    ]
    asks = tmp_path / "asks.yaml"
    asks.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": panels}]}))

    for what, path in (("rules", asks), ("config", DEPLOY / "prometheus.yaml")):
        done = subprocess.run(
            [str(PROMTOOL), "check", what, str(path)], capture_output=True, text=True, timeout=60
        )
        assert 0 == done.returncode, done.stdout + done.stderr


@needs_promtool
def test_the_alarms_ring_when_they_should() -> None:
    """At the first failure of a kind, too, which begins a series; and not before, nor for ever."""
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(Path(__file__).with_name("alarms.yaml"))],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
