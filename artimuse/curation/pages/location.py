"""Where a page is written."""

from pathlib import PurePosixPath

from artimuse.errors import BadInput
from artimuse.io.folder import Folder


def page_location(to: str, usual_name: str) -> tuple[Folder, str]:
    """The folder of a page and its name. Raises BadInput for another suffix than .html."""
    name = PurePosixPath(to).name
    if not name.endswith(".html"):
        raise BadInput(f"--to {to}: a page is an HTML file; name it {name or usual_name}.html")
    return Folder.at(to.removesuffix(name).rstrip("/") or "."), name
