from types import SimpleNamespace

import pytest

from pipelines.output import check_output, is_sequence, is_video
from studio.errors import OutputError, UsageError


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.mp4", "video"),
        ("a.gif", "video"),
        ("new/%05d.png", "video"),
        ("frames", "video"),
        ("A.PNG", "picture"),
        ("t.csv", "motion"),
    ],
)
def test_known_endings(tmp_path, name, kind):
    assert check_output(tmp_path / name, kind) == tmp_path / name


@pytest.mark.parametrize(
    "name, kind",
    [("a.txt", "video"), ("a", "picture"), ("a.mp4", "picture"), ("a.png", "motion"), ("new/a_%d.mp4", "video")],
)
def test_unknown_endings_list_the_known_ones(tmp_path, name, kind):
    with pytest.raises(UsageError, match=r"\.\w+"):
        check_output(tmp_path / name, kind)


def test_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="no such folder"):
        check_output(tmp_path / "no" / "a.mp4", "video")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        check_output(tmp_path / "file" / "a.mp4", "video")


def test_folder_where_a_file_should_be(tmp_path):
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path, "picture")


def test_no_permission(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OutputError, match="can't write"):
        check_output(tmp_path / "a.mp4", "video")


def test_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=40960))
    with pytest.raises(OutputError, match="full"):
        check_output(tmp_path / "a.mp4", "video")


def test_kinds_of_sources(tmp_path):
    assert is_video("talk.mp4") and is_video("TALK.MOV") and not is_video("a.png") and not is_video(object())


def test_sequences(tmp_path):
    assert is_sequence("frames/") and is_sequence("f/%05d.png") and not is_sequence("a.mp4")
