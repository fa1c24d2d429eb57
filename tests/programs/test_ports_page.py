"""The pages name the ports of each container as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postboat.agent import ports
from postboat.agent.ports import Port
from postboat.objects.components import COMPONENTS, Component, Container

ROOT = Path(__file__).parents[2]
ALL = tuple(value for value in vars(ports).values() if isinstance(value, Port))


@pytest.mark.parametrize(
    ("component", "container"),
    [(component, container) for component in COMPONENTS for container in component.containers],
    ids=lambda value: value.name,
)
def test_the_table_of_containers_has_their_ports(component: Component, container: Container) -> None:
    page = (ROOT / "docs/interfaces.md").read_text()
    pattern = rf"^\| `{container.name}`(?: \({component.name}\))? \| {container.uid} \|(.*)$"
    (row,) = re.findall(pattern, page, re.MULTILINE)
    told = {port.number for port in container.ports} | {container.agent}
    assert {int(number) for number in re.findall(r"\b\d{4,5}\b", row)} == told | (
        {ports.INVENTORY.number} if component.name == "store" else set()
    )


def test_each_port_has_a_name_and_a_number_of_its_own() -> None:
    assert len({port.name for port in ALL}) == len({port.number for port in ALL}) == len(ALL)
    assert all(port.number > 1023 for port in ALL), "daemons that are not root cannot listen below"
    public = [port.public for port in ALL if port.public]
    assert len(set(public)) == len(public)
    assert {port for offered in ports.CLIENTS.values() for port in offered} == {port for port in ALL if port.public}
