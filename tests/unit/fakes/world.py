"""A cluster in memory: objects with versions, which refuse stale writes, and Jobs that start and end.

It takes the place of the HTTP connection below `Cluster`, so that all code above runs as it is.
"""

import copy
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from quotenode_backup.cluster.errors import AlreadyExists, Conflict, NotFound
from quotenode_backup.contract.plans import BackupPlan, RecordPlan, RemovalPlan, RowStatus, SearchPlan
from quotenode_backup.contract.results import (
    AuditOutcome,
    BackupResult,
    Outcome,
    Result,
    RetentionOutcome,
    StoredBundle,
)
from quotenode_backup.domain.reasons import VERDICTS, Exit, Reason
from quotenode_backup.domain.retention import fingerprint
from quotenode_backup.manifests import labels
from tests.unit.fakes.given import as_termination_message, bundle
from tests.unit.fakes.restored_data import RestoredData

Json = dict[str, Any]
RUNS = "/apis/backup.quotenode.io/v1beta1/namespaces/shop/quotenodebackups"
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
PODS = "/api/v1/namespaces/shop/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/shop/leases"
NAMESPACE = "/api/v1/namespaces/shop"
CLAIMS = "/api/v1/namespaces/shop/persistentvolumeclaims"
EVENTS = "/apis/events.k8s.io/v1/namespaces/shop/events"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"

Script = Callable[[BackupPlan], Reason]
"""How the attempt of a plan ends."""


class Killed(BaseException):
    """The operator was killed here. It is a BaseException so that no code of the operator catches it."""


class World:
    def __init__(self, script: Script = lambda _: Reason.COMPLETED) -> None:
        self.now = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
        self.objects: dict[str, Json] = {}
        self.script = script
        self.created: list[str] = []
        """The paths of all objects in the order of their creation. A Job that is created twice is in it twice."""
        self.bundles: list[str] = []
        """Run UIDs of the bundles on the volume, in the order of their commits."""
        self.committed: set[str] = set()
        """Run UIDs of all bundles that were ever committed."""
        self.rows: dict[str, str] = {}
        """The table backup_logs: run UID -> status."""
        self.table = "fit"
        """`unfit`: no row can ever be written. `away`: no row can be written now."""
        self.has_spoilt_record = False
        """Whether the folder has a commit record that cannot be read, so that nobody knows all bundles that are left."""
        self.served_during_dump: list[int] = []
        """How many pods the application had at the end of each attempt."""
        self.restores = RestoredData(self)
        self._numbers = itertools.count(1)
        self.put(CLAIMS, "bundles", {"spec": {"accessModes": ["ReadWriteOnce"]}})

    # What users and the cluster do.

    def apply(self, name: str, **spec: Any) -> str:
        database = {"host": "db", "port": 5432, "name": "shop", "credentialsSecretRef": {"name": "login"}}
        whole = {"database": database, "storage": {"local": {"claimName": "bundles"}}, "auditLog": "Disabled"} | spec
        return str(self.put(RUNS, name, {"spec": whole})["metadata"]["uid"])

    def enforce(self, name: str, *actions: str) -> str:
        """Install an admission policy of this name with its binding. Returns the UID of the binding."""
        self.put(POLICIES, name, {"spec": {}})
        body = {"spec": {"policyName": name, "validationActions": list(actions or ("Deny",))}}
        return str(self.put(BINDINGS, name, body)["metadata"]["uid"])

    def delete(self, name: str, collection: str = RUNS) -> None:
        """Delete a resource, at once unless it has a finalizer, and with its children, as the garbage collector does."""
        path = f"{collection}/{name}"
        if self.objects[path]["metadata"].get("finalizers"):
            self.change(path, metadata=self.objects[path]["metadata"] | {"deletionTimestamp": self.now.isoformat()})
        else:
            self._collect(path)

    def _collect(self, path: str) -> None:
        gone = self.objects.pop(path)
        for child in self._children(gone["metadata"]["uid"]):
            del self.objects[child]

    def collect_released(self, path: str) -> None:
        """A resource that is being deleted goes with its last finalizer."""
        meta = self.objects[path]["metadata"]
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self._collect(path)

    def restore(self, *, with_status: bool = False) -> None:
        """Delete every QuoteNodeBackup and create it again from a copy, as backup tools and `kubectl apply` do."""
        saved = {path: self.objects[path] for path in list(self.objects) if path.startswith(f"{RUNS}/")}
        for path in saved:
            self._collect(path)
        for path, old in saved.items():
            kept = {key: old["metadata"][key] for key in ("labels", "annotations") if key in old["metadata"]}
            body = {"metadata": kept, "spec": old["spec"]} | ({"status": old["status"]} if with_status else {})
            self.put(RUNS, path.rpartition("/")[2], body)

    def deploy(self, name: str, replicas: int) -> None:
        """Create the scale of a Deployment, and its pods."""
        body = {"spec": {"replicas": replicas}, "status": {"selector": f"app={name}"}}
        self.put(DEPLOYMENTS, f"{name}/scale", body)["metadata"]["name"] = name
        self._sync_pods(name)

    def replicas(self, name: str) -> int:
        return int(self.objects[f"{DEPLOYMENTS}/{name}/scale"]["spec"]["replicas"])

    def scale(self, name: str, replicas: int) -> None:
        self.change(f"{DEPLOYMENTS}/{name}/scale", spec={"replicas": replicas})

    def application_pods(self) -> int:
        return len([pod for pod in self.in_(PODS) if "app" in pod["metadata"]["labels"]])

    def _sync_pods(self, name: str) -> None:
        wanted = self.replicas(name)
        mine = [path for path in self.objects if path.startswith(f"{PODS}/{name}-")]
        for path in mine[wanted:]:
            del self.objects[path]
        for number in range(len(mine), wanted):
            volumes = [{"name": "files", "persistentVolumeClaim": {"claimName": "files"}}]
            container = {"name": "app", "volumeMounts": [{"name": "files"}], "securityContext": {"runAsUser": 1000}}
            spec = {"nodeName": "worker", "containers": [container], "volumes": volumes}
            pod = self.put(PODS, f"{name}-{number}", {"metadata": {"labels": {"app": name}}, "spec": spec})
            pod["status"] = {"phase": "Running"}

    def _children(self, uid: str) -> list[str]:
        """The Jobs of a run's attempts and their pods. The Jobs that follow a run have no owner."""
        owned = ("backup", "verify", "load", "health")
        found = ((path, item["metadata"].get("labels", {})) for path, item in self.objects.items())
        return [path for path, given in found if given.get(labels.RUN_UID) == uid and given.get(labels.STEP) in owned]

    def put(self, collection: str, name: str, body: Json) -> Json:
        if f"{collection}/{name}" in self.objects:
            raise AlreadyExists(name)
        body = copy.deepcopy(body)
        number = next(self._numbers)
        body["metadata"] = body.get("metadata", {}) | {
            "name": name,
            "namespace": "shop",
            "uid": f"{name}-{number}",
            "resourceVersion": str(number),
            "creationTimestamp": self.now.isoformat(),
        }
        self.objects[f"{collection}/{name}"] = body
        self.created.append(f"{collection}/{name}")
        return body

    def change(self, path: str, **top: Any) -> Json:
        item = self.objects[path]
        item |= copy.deepcopy(top)
        item["metadata"]["resourceVersion"] = str(next(self._numbers))
        return item

    def in_(self, collection: str) -> list[Json]:
        return [item for path, item in self.objects.items() if path.rpartition("/")[0] == collection]

    def status(self, name: str) -> Json:
        return dict(self.objects[f"{RUNS}/{name}"].get("status", {}))

    def tick(self) -> None:
        """A second passes. In one tick a Job gets its running pod, in the next the pod ends as the script says, then
        the Job.

        Without an unfinished Job ten seconds pass, since there are only pauses to wait for.
        """
        working = [job for job in self.in_(JOBS) if not job.get("status", {}).get("conditions")]
        self.now += timedelta(seconds=1 if working else 10)
        for path in [path for path in self.objects if path.startswith(DEPLOYMENTS)]:
            self._sync_pods(self.objects[path]["metadata"]["name"])
        for job in working:
            self._advance(job)

    def _advance(self, job: Json) -> None:
        name = job["metadata"]["name"]
        pod = self.objects.get(f"{PODS}/{name}-x")
        if pod is None:
            self._start(job)
        elif pod["status"]["phase"] == "Running":
            self._end(job, f"{PODS}/{name}-x")
        else:
            kind = "Complete" if pod["status"]["phase"] == "Succeeded" else "Failed"
            condition = {"type": kind, "status": "True", "lastTransitionTime": self.now.isoformat()}
            self.change(f"{JOBS}/{name}", status={"conditions": [condition]})

    def _start(self, job: Json) -> None:
        name = job["metadata"]["name"]
        template = job["spec"]["template"]["metadata"]
        pod_labels = template["labels"] | {"batch.kubernetes.io/job-name": name}
        meta = {"labels": pod_labels, "annotations": template["annotations"]}
        pod = self.put(PODS, f"{name}-x", {"metadata": meta, "spec": {"nodeName": "worker", "containers": []}})
        pod["status"] = {"phase": "Running"}

    def _end(self, job: Json, path: str) -> None:
        text = job["spec"]["template"]["metadata"]["annotations"][labels.PLAN]
        match job["metadata"]["labels"].get(labels.STEP):
            case "backup":
                reported: Result = self._backed_up(BackupPlan.model_validate_json(text))
            case "record":
                reported = self._recorded(RecordPlan.model_validate_json(text))
            case "verify" | "load" | "swap" | "health" | "expire" as step:
                reported = self.restores.reported(step, text)
            case "find":
                reported = self._searched(SearchPlan.model_validate_json(text))
            case _:
                reported = self._removed(RemovalPlan.model_validate_json(text))
        code = int(Exit.OK if reported.outcome is Outcome.SUCCEEDED else VERDICTS[reported.reason].exit_code)
        state = {"terminated": {"exitCode": code, "reason": "Completed", "message": as_termination_message(reported)}}
        phase = "Succeeded" if reported.outcome is Outcome.SUCCEEDED else "Failed"
        self.change(path, status={"phase": phase, "containerStatuses": [{"name": "runner", "state": state}]})

    def _backed_up(self, plan: BackupPlan) -> BackupResult:
        self.served_during_dump.append(self.application_pods())
        reason = self.script(plan)
        done = reason is Reason.COMPLETED
        if done and plan.run_uid not in self.bundles:
            self.bundles.append(plan.run_uid)
            self.committed.add(plan.run_uid)
        row = RowStatus.COMPLETED if done else RowStatus.FAILED
        return BackupResult(
            run_uid=plan.run_uid,
            attempt=plan.attempt,
            outcome=Outcome.SUCCEEDED if done else Outcome.FAILED,
            reason=reason,
            message=f"Attempt {plan.attempt} ended with {reason}",
            bundle=_bundle_of(plan.run_uid, self.now) if done else None,
            retention=self._pruned(plan.retention.keep_last) if done and plan.retention else None,
            audit=self._row(plan.run_uid, row) if plan.audit and reason is not Reason.LOCK_BUSY else None,
        )

    def _pruned(self, keep: int) -> RetentionOutcome:
        old, self.bundles = self.bundles[:-keep], self.bundles[-keep:]
        left, removed = ("".join(map(fingerprint, uids)) for uids in (self.bundles, old))
        survivors = None if self.has_spoilt_record else left
        return RetentionOutcome(survivors=survivors, pruned=len(old), removed=removed)

    def _row(self, uid: str, status: RowStatus) -> AuditOutcome:
        if self.table == "away":
            return AuditOutcome(logged=False, reason=Reason.SOURCE_UNREACHABLE, message="The database is away")
        if self.table == "unfit":
            return AuditOutcome(logged=False, reason=Reason.AUDIT_TABLE_UNFIT, message="Column id is a bigint")
        self.rows[uid] = status
        return AuditOutcome(logged=True, reason=Reason.AUDIT_LOGGED, message="Recorded")

    def _recorded(self, plan: RecordPlan) -> BackupResult:
        return _of_task(plan, self._row(plan.original_uid or plan.run_uid, plan.row.status))

    def _searched(self, plan: SearchPlan) -> BackupResult:
        uid = next((uid for uid in self.bundles if _bundle_of(uid, self.now).path == plan.path), None)
        found = _bundle_of(uid, self.now) if uid else None
        reported = AuditOutcome(
            logged=True, reason=Reason.COMPLETED, message=f"{plan.path} is {'there' if uid else 'not there'}"
        )
        return _of_task(plan, reported).model_copy(update={"bundle": found})

    def _removed(self, plan: RemovalPlan) -> BackupResult:
        uid = plan.original_uid or plan.run_uid
        if uid in self.bundles:
            self.bundles.remove(uid)
        return _of_task(plan, AuditOutcome(logged=True, reason=Reason.COMPLETED, message="Removed"))


def _bundle_of(uid: str, completed: datetime) -> StoredBundle:
    return bundle(path=f"shop-0/{uid}.tar.gz", sha256=hashlib.sha256(uid.encode()).hexdigest(), completed=completed)


def _of_task(plan: RecordPlan | RemovalPlan | SearchPlan, reported: AuditOutcome) -> BackupResult:
    return BackupResult(
        run_uid=plan.run_uid,
        attempt=plan.attempt,
        outcome=Outcome.SUCCEEDED if reported.logged else Outcome.FAILED,
        reason=reported.reason,
        message=reported.message,
    )


class Client:
    """One operator's connection to the world. `interrupt` is called around every request, and may raise `Killed`."""

    def __init__(
        self,
        world: World,
        interrupt: Callable[[str, str], None] = lambda *_: None,
        policy: str = "",
        restore_policy: str = "",
    ) -> None:
        """`policy`, `restore_policy`: names of the admission policies in the operator's settings."""
        self.world = world
        self.writes: list[str] = []
        self.policy = policy
        self.restore_policy = restore_policy
        self._interrupt = interrupt

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        del query
        self._interrupt("read", path)
        return self._found(path)

    def _found(self, path: str) -> Json:
        if path not in self.world.objects:
            raise NotFound(path)
        return copy.deepcopy(self.world.objects[path])

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Json]:
        self._interrupt("list", path)
        wanted = (query or {}).get("labelSelector", "")
        yield {"metadata": {}, "items": [copy.deepcopy(i) for i in self.world.in_(path) if _selected(i, wanted)]}

    async def write(self, method: str, path: str, body: Json | None = None, content_type: str = "") -> Json:
        del content_type
        self._interrupt("before", f"{method} {path}")
        answer = self._written(method, path, body or {})
        self.writes.append(f"{method} {path}")
        self._interrupt("after", f"{method} {path}")
        return answer

    def _written(self, method: str, path: str, body: Json) -> Json:
        if method == "POST":
            return copy.deepcopy(self.world.put(path, body["metadata"]["name"], body))
        plain = path.removesuffix("/status")
        found = self._found(plain)
        expected = body.get("metadata") or body.get("preconditions") or {}
        if any(
            expected.get(key, found["metadata"][key]) != found["metadata"][key] for key in ("uid", "resourceVersion")
        ):
            raise Conflict(path)
        if method == "DELETE":
            return self._deleted(plain, found)
        if method == "PUT":  # it replaces the whole object
            found["metadata"].pop("annotations", None)
        answer = copy.deepcopy(self.world.change(plain, **_merged(found, body)))
        self.world.collect_released(plain)
        return answer

    def _deleted(self, path: str, found: Json) -> Json:
        name = found["metadata"]["name"]
        self.world.objects.pop(f"{PODS}/{name}-x", None)
        del self.world.objects[path]
        return found


def _merged(old: Json, patch: Json) -> Json:
    new = {key: _value(old.get(key), value) for key, value in patch.items() if key != "metadata"}
    meta = patch.get("metadata", {})
    known = {"finalizers": meta["finalizers"]} if "finalizers" in meta else {}
    if "annotations" in meta:
        known["annotations"] = _value(old["metadata"].get("annotations", {}), meta["annotations"])
    return new | ({"metadata": old["metadata"] | known} if known else {})


def _value(old: Any, new: Any) -> Any:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    kept = {key: value for key, value in old.items() if key not in new}
    return kept | {key: _value(old.get(key), value) for key, value in new.items() if value is not None}


def _selected(item: Json, selector: str) -> bool:
    pod_labels = item["metadata"].get("labels", {})
    for term in filter(None, selector.split(",")):
        key, _, value = term.partition("=")
        if (pod_labels.get(key.removesuffix("!")) == value) == key.endswith("!"):
            return False
    return True
