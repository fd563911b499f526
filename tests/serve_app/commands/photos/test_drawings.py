from pathlib import Path

import pytest

from serve_app.commands.photos.drawings import check_drawings, save_drawing
from serve_app.commands.photos.find import FoundPhoto


@pytest.mark.parametrize(
    ("kind", "place", "written"),
    [
        ("jpeg", "a.jpg", "a.jpg"),
        ("jpeg", "sub/a.JPEG", "sub/a.JPEG"),
        ("jpeg", "a.png", "a.png.jpg"),
        ("png", "a.png", "a.png"),
        ("png", "sub/a.jpg", "sub/a.jpg.png"),
        ("jpeg", "noname", "noname.jpg"),
    ],
)
def test_a_drawing_is_called_as_its_photo(tmp_path: Path, kind: str, place: str, written: str) -> None:
    save_drawing(f"data:image/{kind};base64,AAEC", tmp_path, Path(place))
    assert (tmp_path / written).read_bytes() == b"\x00\x01\x02"


def test_photos_and_drawings_are_not_overwritten(tmp_path: Path) -> None:
    one = FoundPhoto(tmp_path / "one/a.jpg", Path("a.jpg"))
    other = FoundPhoto(tmp_path / "other/a.jpg", Path("a.jpg"))
    check_drawings([one], tmp_path / "drawn")
    with pytest.raises(ValueError, match="lies in the folder of the drawings"):
        check_drawings([one], tmp_path / "one")
    with pytest.raises(ValueError, match="would be one file"):
        check_drawings([one, other], tmp_path / "drawn")
