"""The pod network of nodes built here: one route per node, and no plugin beyond the standard ones.

Each node gives its pods addresses out of its own range, and knows by which other node every other
range is reached. Only traffic that leaves the cluster takes the node's own address.
"""

import json
from dataclasses import dataclass
from typing import Any

from .engine import Engine

CONFIGURATION = "/etc/cni/net.d/10-quotenode.conflist"
LEAVES_THE_CLUSTER = "POSTROUTING --source {pods} ! --destination {pods} --jump MASQUERADE"


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    pods: str  # the range of its pods' addresses


def nodes_from(listing: str) -> list[Node]:
    """Nodes as `kubectl get nodes -o json` prints them; one without a range is not ready to be connected."""
    return [_node(item) for item in json.loads(listing)["items"] if item["spec"].get("podCIDR")]


def _node(item: dict[str, Any]) -> Node:
    addresses = {each["type"]: each["address"] for each in item["status"]["addresses"]}
    return Node(item["metadata"]["name"], addresses["InternalIP"], item["spec"]["podCIDR"])


def conflist(node: Node) -> str:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "quotenode", "plugins": plugins}, indent=2)


def script_for(node: Node, nodes: list[Node], all_pods: str) -> str:
    """What one node runs; running it again changes nothing. The file comes last and whole: it makes the node ready."""
    rule = LEAVES_THE_CLUSTER.format(pods=all_pods)
    routes = [f"ip route replace {other.pods} via {other.address}" for other in nodes if other != node]
    masquerade = f"iptables --table nat --check {rule} 2>/dev/null || iptables --table nat --append {rule}"
    write = f"cat > {CONFIGURATION}.new <<'END'\n{conflist(node)}\nEND"
    lines = ["set -eu", *routes, masquerade, write, f"mv {CONFIGURATION}.new {CONFIGURATION}"]
    return "\n".join(lines) + "\n"


def connect(engine: Engine, nodes: list[Node], all_pods: str = "10.244.0.0/16") -> None:
    for node in nodes:
        engine("exec", node.name, "sh", "-c", script_for(node, nodes, all_pods))
