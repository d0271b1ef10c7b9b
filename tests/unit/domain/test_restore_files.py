import pytest

from quotenode_backup.domain.restore_files import folder_name, restore_uid_of, stays

UID = "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f"


def test_the_folder_of_a_restore_tells_its_uid() -> None:
    assert restore_uid_of(folder_name(UID)) == UID


@pytest.mark.parametrize(
    "name",
    [
        "offers",
        UID,
        ".quotenode-restore-",
        ".quotenode-restore-a.b",
        ".quotenode-restore-ü",
        f".quotenode-restore-{UID * 2}",
    ],
)
def test_other_names_are_of_no_restore(name: str) -> None:
    assert restore_uid_of(name) is None


@pytest.mark.parametrize("name", ["lost+found", folder_name(UID), f"{folder_name(UID)}.probe"])
def test_what_is_not_the_application_s_stays(name: str) -> None:
    assert stays(name)


@pytest.mark.parametrize("name", ["offers", ".hidden", "lost", "x.quotenode-restore-1"])
def test_all_else_is_moved(name: str) -> None:
    assert not stays(name)
