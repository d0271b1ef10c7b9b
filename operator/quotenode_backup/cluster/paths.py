"""URL paths of the API server. Without a namespace: all namespaces; without a name: the collection."""

from urllib.parse import quote

from quotenode_backup.api import GROUP, VERSION


def collection(prefix: str, namespace: str | None, plural: str, name: str = "") -> str:
    scope = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{quote(name, safe='')}" if name else "")


def custom(plural: str, namespace: str | None, name: str = "") -> str:
    return collection(f"/apis/{GROUP}/{VERSION}", namespace, plural, name)


def jobs(namespace: str | None, name: str = "") -> str:
    return collection("/apis/batch/v1", namespace, "jobs", name)


def leases(namespace: str | None, name: str = "") -> str:
    return collection("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def scale(namespace: str, kind: str, name: str) -> str:
    return f"{collection('/apis/apps/v1', namespace, f'{kind.lower()}s', name)}/scale"


def stateful_set(namespace: str, name: str) -> str:
    return collection("/apis/apps/v1", namespace, "statefulsets", name)


def namespace(name: str) -> str:
    return f"/api/v1/namespaces/{quote(name)}"


def core(namespace: str, plural: str, name: str = "") -> str:
    return collection("/api/v1", namespace, plural, name)


def admission(plural: str, name: str) -> str:
    return collection("/apis/admissionregistration.k8s.io/v1", None, plural, name)
