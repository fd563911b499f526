"""Made photos have the sizes that they claim, and the mix covers what it says."""

from io import BytesIO

from PIL import Image

from benchmarks.photos import LARGEST_PIXELS, SMALLEST_PIXELS, mixed_sizes, photo


def test_a_photo_has_its_size_and_is_the_same_each_time() -> None:
    encoded = photo(321, 123)
    with Image.open(BytesIO(encoded)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (321, 123), "RGB")
    assert photo(321, 123) == encoded
    assert photo(321, 123, seed=1) != encoded


def test_the_mix_has_thirty_shapes_over_its_whole_range_upright_and_lying() -> None:
    sizes = mixed_sizes()
    pixels = sorted(width * height for width, height in sizes)
    assert len(set(sizes)) == 30
    assert abs(pixels[0] / SMALLEST_PIXELS - 1) < 0.01
    assert abs(pixels[-1] / LARGEST_PIXELS - 1) < 0.01
    assert 8 <= sum(width > height for width, height in sizes) <= 22
    assert all(9 / 16 * 0.99 < width / height < 16 / 9 * 1.01 for width, height in sizes)
