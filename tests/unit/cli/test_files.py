"""The rights of what the command writes, while others may write beside it."""

import stat
from pathlib import Path

from relay_cli.files import for_the_owner, share


def test_a_link_in_place_of_a_partial_file_opens_no_other_file_to_others(tmp_path: Path) -> None:
    secret, part = tmp_path / "secret", tmp_path / "part"
    secret.touch(mode=0o600)
    with open(part, "xb", opener=for_the_owner) as file:
        part.unlink()
        part.symlink_to(secret)
        share(file)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
