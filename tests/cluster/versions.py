"""Every version the harness builds or pulls. Changing one rebuilds only what depends on it."""

KUBERNETES = "v1.34.4"  # the newest minor that takes cgroup v1 without being told to
KIND = "v0.33.0"
HELM = "v3.22.0"
ETCD = "v3.6.13"
COREDNS = "v1.13.1"
LOCAL_PATH_PROVISIONER = "v0.0.30"
RCLONE = "v1.76.0"
RESTIC = "v0.18.1"
PAUSE = "3.10.1"

MINIMUM = {
    "kind": (0, 30),
    "kubectl": (1, 31),
    "helm": (3, 14),
    "restic": (0, 14),
    "prometheus": (2, 40),
    "promtool": (2, 40),
    "go": (1, 21),
}

# The node image of the same minor version that kind publishes, for engines that can pull it.
PUBLISHED_NODE_IMAGE = (
    "docker.io/kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a"
)
