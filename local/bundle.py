"""Pack the result of ``make build`` into one file, to deploy it from another job or another machine.

It is a tar file, since GitHub's artifacts lose file modes and leave out folders like ``.aws-sam``. Its digest takes
another path than the file. The job that packs it has run other people's code, and the job that unpacks it may have AWS
credentials: unpacking writes only inside its folder, and nothing of it is run.
"""

import argparse
import hashlib
import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

from local.build import BUILD, ROOT, BuildError

BUNDLE = ROOT / "build.tar"


def pack(bundle: Path = BUNDLE, directory: Path = BUILD) -> str:
    """Pack a build into a file, and return the file's SHA-256 in hexadecimal digits."""
    with tarfile.open(bundle, "w") as file:
        file.add(directory, arcname=".")
    return hashlib.sha256(bundle.read_bytes()).hexdigest()


def unpack(sha256: str, bundle: Path = BUNDLE, directory: Path = BUILD) -> None:
    """Unpack a build, replacing what is there.

    Args:
        sha256: What `pack` returned.
        bundle: The file.
        directory: Where the build goes.

    Raises:
        BuildError: The digest differs, or a member of the file would be written outside the folder.
    """
    content = bundle.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BuildError(f"{bundle.name} is not what was built: its SHA-256 is {found}, not {sha256 or 'given'}.")
    shutil.rmtree(directory, ignore_errors=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as file:
            for member in file:
                if not (member.isfile() or member.isdir()):  # a build has no links, and some pass tarfile's filter
                    raise BuildError(f"{bundle.name} is not a build: {member.name} is neither a file nor a folder.")
            file.extractall(directory, filter="data")
    except tarfile.TarError as error:
        shutil.rmtree(directory, ignore_errors=True)
        raise BuildError(f"{bundle.name} is not a build: {error}") from error


def main() -> int:
    """Pack, and output the digest to the GitHub job; or unpack the file ``BUNDLE``, if its digest is ``SHA256``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("pack", "unpack"))
    if parser.parse_args().action == "pack":
        sha256 = pack()
        print(f"Packed into {BUNDLE.name}, whose SHA-256 is {sha256}")
        if output := os.environ.get("GITHUB_OUTPUT"):
            with Path(output).open("a") as file:
                file.write(f"sha256={sha256}\n")
        return 0
    try:
        unpack(os.environ.get("SHA256", ""), Path(os.environ.get("BUNDLE") or BUNDLE))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
