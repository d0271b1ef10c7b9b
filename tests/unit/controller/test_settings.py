"""Settings: each one that makes no sense is named before anything starts."""

import pytest

from quotenode_backup.controller.settings import SettingsInvalid, settings

IMAGE = {"QN_RUNNER_IMAGE": "image"}


def test_without_namespaces_all_are_watched() -> None:
    chosen = settings(IMAGE)
    assert (chosen.namespaces, chosen.scopes) == ((), (None,))
    assert (chosen.resync_seconds, chosen.http_port, chosen.log_format) == (300, 8080, "json")


def test_a_list_of_namespaces_may_have_spaces_and_gaps() -> None:
    assert settings(IMAGE | {"QN_WATCH_NAMESPACES": " shop, ,stock,"}).scopes == ("shop", "stock")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"QN_RUNNER_IMAGE": ""}, "QN_RUNNER_IMAGE is not set"),
        ({"QN_LOG_FORMAT": "xml"}, "QN_LOG_FORMAT is 'xml'"),
        ({"QN_LOG_LEVEL": "LOUD"}, "QN_LOG_LEVEL is 'LOUD'"),
        ({"QN_RESYNC_SECONDS": "0"}, "QN_RESYNC_SECONDS is '0'"),
        ({"QN_HTTP_PORT": "-1"}, "QN_HTTP_PORT is '-1'"),
        ({"QN_HTTP_PORT": "65536"}, "QN_HTTP_PORT is '65536'"),
    ],
)
def test_an_invalid_setting_is_named(changes: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        settings(IMAGE | changes)
