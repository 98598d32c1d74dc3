"""Where a page is written: an earlier page is replaced, any other file is not."""

from artimuse.curation.pages.render import IS_OURS
from artimuse.curation.selection import split_location
from artimuse.errors import BadInput
from artimuse.io.folder import Folder

# Where in a page it says that it is one.
_HEAD_BYTES = 4096


def page_location(to: str, usual_name: str) -> tuple[Folder, str]:
    """The folder of a page and its name. Raises BadInput for another suffix than .html."""
    folder, name = split_location(to)
    if not name.endswith(".html") or name == ".html":
        raise BadInput(f"--to {to}: a page is an HTML file; name it {name or usual_name}.html")
    return folder, name


def refuse_other_file(folder: Folder, name: str) -> None:
    """Raises BadInput if a file that is no page is there."""
    if not folder.exists(name):
        return
    with folder.open(name) as file:
        if IS_OURS.encode() not in file.read(_HEAD_BYTES):
            raise BadInput(f"{folder.url(name)}: a file that is no such page is there; choose another name with --to")
