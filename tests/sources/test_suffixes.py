from artimuse.sources.suffixes import describe_skipped


def test_what_is_skipped_is_told_by_kind():
    assert list(describe_skipped({".heic": 1200, ".txt": 2, "": 1})) == [
        ("not read", "1,200 .heic: write them as JPEG, PNG or WebP to have them scored"),
        ("not images", "2 .txt, 1 without suffix (left out)"),
    ]


def test_nothing_is_said_of_nothing():
    assert list(describe_skipped({})) == []
