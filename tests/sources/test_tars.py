"""WebDataset tars: what is a row, what is passthrough, and that members come back byte by byte."""

import io
import tarfile
from pathlib import Path

import fsspec
import pytest

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import BadInput, RowError
from artimuse.io.fetch import fetch
from artimuse.io.folder import Folder
from artimuse.sources import open_source
from artimuse.table.plan import write_plan
from tests.sources.containers import bodies, location_of, rows_of, tar

SAMPLES = {
    "000/a.jpg": b"picture a",
    "000/a.json": b'{"prompt": "a \xe2\x98\x83"}',
    "000/a.txt": b"snow",
    "000/b.cls": b"7",
    "000/b.jpg": b"picture b" * 1000,
    "c.txt": b"no picture here",
    ".d.jpg": b"hidden",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    (tmp_path / "one.tar").write_bytes(tar(SAMPLES))
    (tmp_path / "x" / "two.tar").write_bytes(tar({"e.png": b"picture e"}))
    return tmp_path


def refusal(location: str | Path) -> str:
    with pytest.raises(BadInput) as caught:
        rows_of(open_source(str(location)))
    return str(caught.value)


def test_members_are_rows_with_their_texts_beside_them(folder: Path):
    source = open_source(f"{folder}/one.tar")
    [a, b] = rows_of(source)
    assert a == {
        "image_id": "000/a",
        "uri": f"{folder}/one.tar#000/a.jpg",
        "artimuse:offset": 512,
        "artimuse:length": 9,
        "json": '{"prompt": "a ☃"}',
        "txt": "snow",
    }
    assert (b["image_id"], b["json"], b["txt"]) == ("000/b", None, None)
    assert source.skipped == {".txt": 1, ".cls": 1, ".jpg": 1}


def test_members_are_read_by_their_place_in_the_tar(folder: Path):
    assert bodies(open_source(f"{folder}/one.tar")) == {"000/a": b"picture a", "000/b": b"picture b" * 1000}


def test_ids_of_several_tars_begin_with_their_path(folder: Path):
    expected = {"one.tar#000/a": b"picture a", "one.tar#000/b": b"picture b" * 1000, "x/two.tar#e": b"picture e"}
    for location in (folder, f"{folder}/**/*.tar", f"{folder}/{{one,x/two}}.tar"):
        assert bodies(open_source(str(location))) == expected


def test_braces_count_as_in_a_shell(tmp_path: Path):
    for number in range(12):
        (tmp_path / f"{number:03d}.tar").write_bytes(tar({f"{number}.png": b"x"}))
    ids = [row["image_id"] for row in rows_of(open_source(f"{tmp_path}/{{008..011}}.tar"))]
    assert ids == ["008.tar#8", "009.tar#9", "010.tar#10", "011.tar#11"]
    assert "cannot be read (No such file" in refusal(f"{tmp_path}/{{010..012}}.tar")


def test_a_tar_may_be_on_a_url(memory_url: str):
    store = fsspec.filesystem("memory")
    for number in range(40):
        store.pipe_file(f"{memory_url}/set/{number:02d}.tar", tar({f"{number}/{i}.jpg": bytes([i]) for i in range(50)}))
    found = bodies(open_source(f"{memory_url}/set"))
    assert list(found) == [f"{number:02d}.tar#{number}/{i}" for number in range(40) for i in range(50)]
    assert all(found[f"{number:02d}.tar#{number}/{i}"] == bytes([i]) for number in range(40) for i in range(50))
    assert len(bodies(open_source(f"{memory_url}/set/*7.tar"))) == 4 * 50


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_odd_names_are_kept(tmp_path: Path, tar_format: int):
    names = ["d" * 90 + "/" + "n" * 90, "a b#1%23", "☃/é", "./dot/x"]
    if tar_format != tarfile.USTAR_FORMAT:
        names.append("deep/" * 60 + "e" * 200)
    (tmp_path / "x#1.tar").write_bytes(tar({f"{name}.jpg": name.encode() for name in names}, tar_format))
    assert bodies(open_source(f"{tmp_path}/x#1.tar")) == {name.removeprefix("./"): name.encode() for name in names}


def test_names_that_are_not_text_lead_to_their_bytes(tmp_path: Path):
    data = tar({"caf\udce9.jpg": b"x"}, tarfile.GNU_FORMAT)
    (tmp_path / "x.tar").write_bytes(data)
    assert bodies(open_source(f"{tmp_path}/x.tar")) == {"caf\\xe9": b"x"}


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path):
    (tmp_path / "x.tar").write_bytes(tar({"a.jpg": b"1", "b.jpg": b"2", "a.left.png": b"3"}))
    with pytest.raises(BadInput, match="'a' in rows 0, 2"):
        write_plan(open_source(f"{tmp_path}/x.tar"), Folder.at(str(tmp_path / "output")))


@pytest.mark.parametrize("num_bytes", [0, 100, 511, 512, 600, 1024, 1500, 2048, 3000])
def test_a_tar_that_was_cut_off_is_refused_wherever_that_was(tmp_path: Path, num_bytes: int):
    whole = tar({"a.jpg": bytes(300), "b.jpg": bytes(1700)})
    (tmp_path / "x.tar").write_bytes(whole[:num_bytes])
    complaint = refusal(tmp_path / "x.tar")
    assert complaint.startswith(f"{tmp_path}/x.tar: ")
    assert "byte" in complaint


def test_what_follows_a_damaged_header_is_not_lost_silently(tmp_path: Path):
    data = bytearray(tar({"a.jpg": b"1", "b.jpg": b"2"}))
    data[1024 + 148] ^= 1  # the second header's checksum
    (tmp_path / "x.tar").write_bytes(data)
    assert refusal(tmp_path / "x.tar").endswith("damaged at byte 1024: expected the header of a member")


def test_tars_that_cannot_be_read_by_offset_are_refused(tmp_path: Path):
    for mode in ("gz", "bz2", "xz"):
        with tarfile.open(tmp_path / f"{mode}.tar", f"w:{mode}") as file:
            file.addfile(tarfile.TarInfo("a.jpg"), io.BytesIO())
        assert "its members cannot be read by offset. Decompress it." in refusal(tmp_path / f"{mode}.tar")
    (tmp_path / "x.tar.gz").write_bytes(b"")
    assert "a compressed tar, whose members cannot be read by offset" in refusal(tmp_path / "x.tar.gz")
    assert "not a whole tar: " in refusal_of_bytes(tmp_path, b"I am a letter, not a tar." * 100)


def test_links_and_sparse_members_are_refused(tmp_path: Path):
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
    assert "b.jpg is a link" in refusal_of_bytes(tmp_path, link.tobuf() + bytes(1024))
    sparse = tarfile.TarInfo("c.jpg")
    sparse.type = tarfile.GNUTYPE_SPARSE
    assert "c.jpg is a sparse member" in refusal_of_bytes(tmp_path, sparse.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_links_and_others_that_are_no_images_do_not_matter(tmp_path: Path, kind: bytes):
    link = tarfile.TarInfo("latest.txt")
    link.type, link.linkname = kind, "a.jpg"
    (tmp_path / "x.tar").write_bytes(link.tobuf() + tar({"a.jpg": b"1"}))
    assert bodies(open_source(f"{tmp_path}/x.tar")) == {"a": b"1"}


@pytest.mark.parametrize("num_zeros", [0, 512, 20 * 512, 2**20 + 3 * 512])
def test_tars_behind_each_other_in_one_file_are_read_to_the_end(tmp_path: Path, num_zeros: int):
    tars = [tar({"a.jpg": b"1", "b.jpg": b"2"}), bytes(num_zeros), tar({"c.jpg": b"3" * 700}), tar({"d.jpg": b"4"})]
    (tmp_path / "x.tar").write_bytes(b"".join(tars))
    assert bodies(open_source(f"{tmp_path}/x.tar")) == {"a": b"1", "b": b"2", "c": b"3" * 700, "d": b"4"}


def test_what_stands_behind_a_tar_and_is_none_is_refused_with_its_place(tmp_path: Path):
    first = tar({"a.jpg": b"1"})
    assert f" at byte {len(first)}" in refusal_of_bytes(tmp_path, first + b"not a header" * 100)
    assert "unexpected end of data at byte" in refusal_of_bytes(tmp_path, first + tar({"b.jpg": b"2" * 900})[:1000])


def test_a_member_of_a_negative_size_is_refused(tmp_path: Path):
    """Its end is before its beginning: a reader that believes it never comes to the end."""
    member = tarfile.TarInfo("a.jpg")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 8 + (-1024).to_bytes(4, "big", signed=True)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    complaint = refusal_of_bytes(tmp_path, bytes(header) + bytes(1024))
    assert "damaged at byte 0: a.jpg has a size of -1024 bytes" in complaint


@pytest.mark.parametrize(
    "names", [("0001.png", "0001.jpg"), ("trip/2021.07.04 beach.png", "trip/2021.07.05 beach.png")]
)
def test_images_of_one_key_are_named_and_may_have_their_names_as_ids(tmp_path: Path, names: tuple[str, str]):
    first, second = names
    data = tar({first: b"1", f"{first.rpartition('.')[0]}.txt": b"sea", second: b"2"})
    complaint = refusal_of_bytes(tmp_path, data)
    assert f"{first}, {second} have the same key" in complaint
    assert "--tar-ids names" in complaint
    rows = rows_of(open_source(f"{tmp_path}/bytes.tar", tar_ids="names"))
    assert [row["image_id"] for row in rows] == [first, second]
    assert rows[0]["txt"] == "sea"


def test_dots_that_name_a_directory_hide_nothing(tmp_path: Path):
    names = ["./a.png", "./sub/./b.png", "../up/c.png", "/abs/d.png", "./._a.png", "sub/.hidden/e.png"]
    (tmp_path / "x.tar").write_bytes(tar({name: name.encode() for name in names}))
    source = open_source(f"{tmp_path}/x.tar")
    assert list(bodies(source)) == ["a", "sub/./b", "../up/c", "/abs/d"]
    assert source.skipped == {".png": 2}


def refusal_of_bytes(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "bytes.tar").write_bytes(data)
    return refusal(tmp_path / "bytes.tar")


def test_a_tar_without_images_says_so(tmp_path: Path):
    assert "no member is an image, named " in refusal_of_bytes(tmp_path, tar({"a.txt": b"x"}))


def test_a_long_text_is_refused_before_it_is_read(tmp_path: Path):
    complaint = refusal_of_bytes(tmp_path, tar({"a.jpg": b"", "a.json": bytes(2**20 + 1)}))
    assert complaint.endswith("a.json has 1048577 bytes; texts beside images may have 1048576")


def test_a_tar_that_changed_after_planning_gives_errors_and_never_other_bytes(folder: Path):
    [a, b] = map(location_of, rows_of(open_source(f"{folder}/one.tar")))
    (folder / "one.tar").write_bytes(tar({"z.jpg": b"other bytes", **SAMPLES}))
    for location in (a, b):
        error = fetch(location, DecodeLimits())
        assert isinstance(error, RowError)
        assert (error.code, error.message[:19]) == ("io_error", "the tar has changed")
    (folder / "one.tar").write_bytes(tar(SAMPLES)[:5000])
    error = fetch(b, DecodeLimits())
    assert isinstance(error, RowError)
    assert (error.code, error.message) == ("io_error", "CutShort: the file ends at byte 5000, before the image does")


def test_a_member_over_the_limit_is_not_read(folder: Path):
    found = bodies(open_source(f"{folder}/one.tar"), DecodeLimits(max_bytes=100))
    assert found == {"000/a": b"picture a", "000/b": RowError("too_large", "9000 bytes, the limit is 100")}


def test_images_in_a_folder_come_before_tars(folder: Path):
    (folder / "photo.jpg").write_bytes(b"")
    source = open_source(str(folder))
    assert [row["image_id"] for row in rows_of(source)] == ["photo.jpg"]
    assert source.skipped == {".tar": 2}
