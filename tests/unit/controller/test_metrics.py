"""The metrics as a scraper gets them."""

import asyncio

import pytest
from prometheus_client import generate_latest

from quotenode_backup.controller.health import Health, observe
from quotenode_backup.controller.metrics import Metrics
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.domain.owner import Key
from quotenode_backup.reconcile.dispatch import Dispatcher
from tests.unit.fakes.lives import context
from tests.unit.fakes.world import RUNS, Client, World

NIGHT = '{name="night",namespace="shop",resource_namespace="shop"}'


class Site:
    """An operator that makes passes over a world, and its page of metrics."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.metrics = Metrics("quotenode-system/operator")
        health = Health(300)
        observe(self.metrics, KeyQueue(), health)
        self._reconciler = Dispatcher(context(world, Client(world)), snapshots=self.metrics.schedules)

    def look_at(self, name: str, passes: int = 3) -> None:
        for _ in range(passes):
            asyncio.run(self._reconciler.reconcile(Key("QuoteNodeBackup", "shop", name)))

    @property
    def page(self) -> dict[str, float]:
        """Every sample except those of the process."""
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line.startswith("quotenode_"))
        return {sample: float(value) for sample, value in samples}


@pytest.fixture
def site() -> Site:
    return Site(World())


def value(site: Site, name: str) -> float | None:
    return site.page.get(f"quotenode_backup_{name}{NIGHT}")


def test_a_schedule_without_a_success_has_no_sample_of_one(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *")
    site.look_at("night")
    assert value(site, "schedule_created_timestamp_seconds") == site.world.now.timestamp()
    assert value(site, "next_schedule_timestamp_seconds") == site.world.now.timestamp() + 3600
    assert (value(site, "stale_after_seconds"), value(site, "suspended"), value(site, "running")) == (172800, 0, 0)
    assert (value(site, "missed_slots_total"), value(site, "skipped_slots_total")) == (0, 0)
    for unknown in ("last_success_timestamp_seconds", "last_size_bytes", "last_run_failed"):
        assert value(site, unknown) is None


def test_a_restart_forgets_nothing(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *", suspend=True)
    when = site.world.now.isoformat()
    known = {"lastSuccessfulTime": when, "lastSizeBytes": 5, "lastDurationSeconds": 2, "missedSlots": 4}
    site.world.change(f"{RUNS}/night", status=known)
    site.look_at("night")
    before = {sample: value for sample, value in site.page.items() if NIGHT in sample}
    assert before[f"quotenode_backup_last_size_bytes{NIGHT}"] == 5

    restarted = Site(site.world)
    assert not [sample for sample in restarted.page if NIGHT in sample]
    restarted.look_at("night", passes=1)
    assert {sample: value for sample, value in restarted.page.items() if NIGHT in sample} == before


def test_a_schedule_that_is_gone_has_no_samples(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *")
    site.look_at("night")
    site.world.delete("night")
    site.look_at("night", passes=1)
    assert not [sample for sample in site.page if NIGHT in sample]


def test_a_one_off_that_took_the_name_of_a_schedule_has_no_samples(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *")
    site.look_at("night")
    site.world.delete("night")
    site.world.apply("night")
    site.look_at("night", passes=1)
    assert not [sample for sample in site.page if NIGHT in sample]


def test_no_sample_is_labelled_with_a_run(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *", trigger="now")
    site.look_at("night")
    (run,) = (item["metadata"]["name"] for item in site.world.in_(RUNS) if item["metadata"]["name"] != "night")
    site.look_at(run)
    assert value(site, "running") == 1
    assert not [sample for sample in site.page if run in sample]


def test_a_run_is_an_attempt_as_soon_as_it_is_made(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *", trigger="now")
    site.look_at("night", passes=1)
    assert (value(site, "running"), value(site, "last_attempt_timestamp_seconds")) == (1, site.world.now.timestamp())


def test_a_run_that_waits_has_waited_since_it_was_made(site: Site) -> None:
    site.world.apply("night", schedule="0 3 * * *", trigger="now")
    site.look_at("night")
    assert value(site, "waiting_since_timestamp_seconds") == site.world.now.timestamp()
    assert value(site, "running_since_timestamp_seconds") is None


def test_each_sample_about_a_namespace_names_it_twice(site: Site) -> None:
    """A scraper may replace the value of `namespace`, but not that of the other label."""
    site.world.apply("night", schedule="0 3 * * *")
    site.look_at("night")
    site.metrics.set_served(["shop"], [])
    site.metrics.applications["shop", "quotenode at postgres:5432"] = site.world.now
    about = [sample for sample in site.page if "namespace=" in sample]
    of = {sample.partition("{")[0].removeprefix("quotenode_backup_") for sample in about}
    assert {"suspended", "application_serve_by_timestamp_seconds", "namespace_served"} <= of
    assert [one for one in about if not one.endswith('namespace="shop",resource_namespace="shop"}')] == []


def test_the_interval_of_resyncs_is_a_metric_beside_the_age_of_the_last(site: Site) -> None:
    assert site.page["quotenode_backup_resync_interval_seconds"] == 300
    assert site.page['quotenode_backup_resync_age_seconds{operator="quotenode-system/operator"}'] < 60
