from pathlib import Path

import pytest

from serve_app.commands.photos.find import find_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/d.tiff", ".git/e.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    return tmp_path / "photos"


def places(*paths: Path) -> list[str]:
    return [photo.place.as_posix() for photo in find_photos(paths)]


def test_a_folder_and_what_is_below_it(folder: Path) -> None:
    assert places(folder) == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.tiff"]
    assert [photo.path for photo in find_photos([folder / "sub"])] == [
        folder / "sub/c.webp",
        folder / "sub/deep/d.tiff",
    ]


def test_a_file_may_be_called_anything(folder: Path) -> None:
    assert places(folder / "notes.txt", folder / "sub/c.webp") == ["notes.txt", "c.webp"]


def test_patterns(folder: Path) -> None:
    assert places(folder / "*.png") == ["a.png"]
    assert places(folder / "**" / "*.*") == ["a.png", "b.JPG", "notes.txt", "sub/c.webp", "sub/deep/d.tiff"]
    assert places(folder / "s*" / "*.webp") == ["sub/c.webp"]


def test_a_name_that_looks_like_a_pattern_is_a_name(folder: Path) -> None:
    (folder / "[1].jpg").touch()
    assert places(folder / "[1].jpg") == ["[1].jpg"]


def test_each_photo_once(folder: Path) -> None:
    assert places(folder / "a.png", folder, folder / "*.png") == ["a.png", "b.JPG", "sub/c.webp", "sub/deep/d.tiff"]


def test_patterns_of_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [(str(photo.path), str(photo.place)) for photo in find_photos([Path("*.png"), Path("a.png")])] == [
        ("a.png", "a.png")
    ]


@pytest.mark.parametrize("name", ["none.jpg", "*.jpg", "empty", "none/*.png"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(ValueError, match="no photo is there"):
        find_photos([tmp_path / name])
