import json

from tests.cluster.network import CONFIGURATION, Node, conflist, nodes_from, script_for

FIRST = Node("one", "10.89.0.2", "10.244.0.0/24")
SECOND = Node("two", "10.89.0.3", "10.244.1.0/24")


def listing(*items: tuple[str, str, str | None]) -> str:
    return json.dumps(
        {
            "items": [
                {
                    "metadata": {"name": name},
                    "spec": {"podCIDR": pods} if pods else {},
                    "status": {
                        "addresses": [
                            {"type": "Hostname", "address": name},
                            {"type": "InternalIP", "address": address},
                        ]
                    },
                }
                for name, address, pods in items
            ]
        }
    )


def test_nodes_are_read_with_address_and_range() -> None:
    text = listing(("one", "10.89.0.2", "10.244.0.0/24"), ("two", "10.89.0.3", "10.244.1.0/24"))

    assert nodes_from(text) == [FIRST, SECOND]


def test_a_node_without_a_range_is_left_for_later() -> None:
    assert nodes_from(listing(("one", "10.89.0.2", None))) == []


def test_a_node_gives_addresses_out_of_its_own_range() -> None:
    plugin = json.loads(conflist(SECOND))["plugins"][0]

    assert plugin["ipam"]["ranges"] == [[{"subnet": SECOND.pods}]]


def test_a_node_has_a_route_to_each_other_node_and_none_to_itself() -> None:
    script = script_for(FIRST, [FIRST, SECOND], "10.244.0.0/16")

    assert "ip route replace 10.244.1.0/24 via 10.89.0.3\n" in script
    assert "ip route replace 10.244.0.0/24" not in script


def test_the_configuration_appears_last_and_whole() -> None:
    lines = script_for(FIRST, [FIRST, SECOND], "10.244.0.0/16").splitlines()

    assert lines[0] == "set -eu"
    assert lines[-1] == f"mv {CONFIGURATION}.new {CONFIGURATION}"
