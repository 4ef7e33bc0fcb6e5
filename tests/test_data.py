"""Readers of data sets: what they give is what is stored, parts do not overlap, and mistakes are told."""

import pickle

import numpy as np
import pytest
from PIL import Image

from mindscience_diffuser.data import Arrays, Copied, Fields, Images, Normalisation, as_data, write_samples

RNG = np.random.default_rng(0)
VALUES = RNG.standard_normal((20, 2, 3, 4))


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    return tmp_path / "x.npy"


def whole(reader, *arguments, **options):
    """All samples of both parts, in the order in which they are stored."""
    parts = [reader(*arguments, split=split, **options) for split in ("train", "test")]
    numbers = np.concatenate([part.numbers for part in parts])
    assert sorted(numbers) == list(range(len(numbers)))
    samples = [part[k] for part in parts for k in range(len(part))]
    return [samples[place] for place in np.argsort(numbers)]


def test_an_npy_file_is_read_as_float32_and_its_parts_are_all_of_it(npy):
    samples = whole(Arrays, npy)
    assert samples[0].dtype == np.float32
    np.testing.assert_array_equal(samples, VALUES.astype(np.float32))
    samples[0][:] = 7
    np.testing.assert_array_equal(whole(Arrays, npy), VALUES.astype(np.float32))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_gives_samples_and_conditions(save, tmp_path):
    path = tmp_path / "x.npz"
    labels, vectors = np.arange(20), RNG.standard_normal((20, 5)).astype(np.float16)
    save(path, samples=VALUES.astype(np.float32), labels=labels, vectors=vectors)
    rows = whole(Arrays, path, conditions=["vectors", "labels"], held_out=0.3)
    for k in (0, 19):
        sample, vector, label = rows[k]
        np.testing.assert_array_equal(sample, VALUES[k].astype(np.float32))
        np.testing.assert_array_equal(vector, vectors[k].astype(np.float32))
        assert label == labels[k]
        assert (vector.dtype, label.dtype) == (np.float32, np.int32)


def test_conditions_of_an_npy_file_are_npy_files(npy):
    np.save(npy.with_name("c.npy"), np.arange(20.0)[:, None])
    assert whole(Arrays, npy, conditions=[str(npy.with_name("c.npy"))])[7][1] == [7]


def test_a_reader_goes_to_another_process_without_its_values(npy):
    data = Arrays(npy)
    data[0]
    copy = pickle.loads(pickle.dumps(data))
    assert len(pickle.dumps(data)) < 2000
    np.testing.assert_array_equal(copy[3], data[3])


def test_a_file_that_ends_too_early_is_told(npy):
    npy.write_bytes(npy.read_bytes()[:-8])
    with pytest.raises(ValueError, match="ends before row 19 of 20"):
        Arrays(npy, split="test", held_out=[19, 20])[0]


def test_a_range_is_held_out_where_it_is_given(npy):
    assert Arrays(npy, split="test", held_out=[5, 8]).numbers.tolist() == [5, 6, 7]
    assert 6 not in Arrays(npy, held_out=[5, 8]).numbers


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"held_out": 1.0}, ValueError, "'held_out' must be in"),
        ({"held_out": [0, 20]}, ValueError, "holds out all of the 20"),
        ({"held_out": [5, 5]}, ValueError, "'held_out' must be in"),
        ({"held_out": [1, 2, 3]}, ValueError, "two numbers"),
        ({"split": "valid"}, ValueError, "'split' must be one of"),
        ({"samples": "x"}, ValueError, "'samples' names an array of an npz file"),
        ({"conditions": "x.npy"}, TypeError, "'conditions' must be a list"),
        ({"conditions": ["none.npy"]}, FileNotFoundError, "'conditions' names the file"),
        ({"path": "none.npy"}, FileNotFoundError, "'path' names the file"),
        ({"path": 3}, TypeError, "'path' must be a path, a str or Path, but is 3"),
    ],
)
def test_mistaken_arguments_are_named(npy, arguments, error, message):
    with pytest.raises(error, match=message):
        Arrays(**{"path": npy, **arguments})


@pytest.mark.parametrize(
    ("arrays", "arguments", "error", "message"),
    [
        ({"a": VALUES, "b": VALUES}, {}, ValueError, "which array.*'a', 'b'"),
        ({"a": VALUES}, {"samples": "c"}, ValueError, "'c', which is not in.*allowed: 'a'"),
        ({"images": VALUES}, {"samples": "image"}, ValueError, "did you mean 'images'"),
        ({"a": np.arange(20)[:, None]}, {}, TypeError, "int64: store them as float32"),
        ({"a": VALUES * 1j}, {}, TypeError, "two channels"),
        ({"a": VALUES[:, 0, 0, 0]}, {}, ValueError, "two axes or more"),
        ({"a": np.asfortranarray(VALUES)}, {}, ValueError, "stored by columns"),
        ({"a": np.array([[None]])}, {}, ValueError, "Python objects"),
        ({"a": VALUES, "c": VALUES[:5]}, {"conditions": ["c"]}, ValueError, "one row for each of the 20 samples"),
        ({"a": VALUES[:1]}, {}, ValueError, "holds out all of the 1"),
    ],
)
def test_arrays_that_are_no_samples_are_refused(tmp_path, arrays, arguments, error, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(error, match=message):
        Arrays(tmp_path / "x.npz", **arguments)


def test_values_that_are_not_finite_are_found_with_their_place(tmp_path):
    values = VALUES.copy()
    values[4, 1, 2, 3] = np.nan
    values[5, 0, 0, 0] = 1e300
    np.save(tmp_path / "x.npy", values)
    data = Arrays(tmp_path / "x.npy", held_out=[0, 1])
    with pytest.raises(ValueError, match=r"Sample 4 of .* holds nan at \[1, 2, 3\]"):
        data[3]
    with pytest.raises(ValueError, match="finite number of float32"):
        data[4]
    with pytest.raises(ValueError, match="Sample 4 of"):
        Normalisation.fit(data)


def test_classes_beyond_int32_are_found_with_their_place(tmp_path):
    np.savez(tmp_path / "x.npz", x=VALUES, label=np.arange(len(VALUES)) + 2**31 - 3)
    data = Arrays(tmp_path / "x.npz", samples="x", conditions=["label"], held_out=[0, 1])
    assert data[1][1] == 2**31 - 1
    with pytest.raises(ValueError, match=r"Row 3 of 'label' .* holds 2147483648, which does not fit int32"):
        data[2]


def fields(folder, **changes):
    xarray = pytest.importorskip("xarray")
    dims = ("time", "lat", "lon")
    values = RNG.standard_normal((2, 10, 4, 6)).astype(np.float32)
    data = xarray.Dataset(
        {
            "t2m": (dims, 280 + values[0], {"units": "K", "long_name": "temperature at 2 m"}),
            "u10": (dims, values[1], {"units": "m s-1"}),
            "height": (dims[1:], values[0, 0]),
            "index": ("time", values[0, :, 0, 0]),
            "mask": (dims[1:], np.ones((4, 6), np.int16)),
        },
        coords={
            "time": ("time", np.arange(10), {"units": "days since 1900-01-01", "calendar": "360_day"}),
            "lat": ("lat", np.linspace(-30, 30, 4), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 50, 6), {"units": "degrees_east"}),
        },
        attrs={"institution": "here"},
    ).assign(**changes)
    data.to_netcdf(folder / "x.nc")
    return data


def test_variables_are_channels_and_a_dimension_counts_the_samples(tmp_path):
    stored = fields(tmp_path)
    rows = whole(Fields, tmp_path / "x.nc", ["u10", "t2m"], conditions=["height", "index", "t2m"])
    sample, vector, field = rows[4]
    np.testing.assert_array_equal(sample, np.stack([stored.u10[4], stored.t2m[4]]))
    np.testing.assert_array_equal(vector, [stored["index"][4]])
    np.testing.assert_array_equal(field, np.stack([stored.height, stored.t2m[4]]))
    data = Fields(tmp_path / "x.nc", ["u10", "t2m"], held_out=0.2, split="test")
    assert data.numbers.tolist() == [8, 9]
    assert data.units == ("m s-1", "K")


def test_samples_are_written_with_coordinates_units_and_attributes(tmp_path):
    fields(tmp_path)
    data = Fields(tmp_path / "x.nc", ["t2m"])
    drawn = RNG.standard_normal((3, 1, 4, 6)).astype(np.float32)
    (path,) = write_samples(data, tmp_path, drawn)
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(path) as written:
        np.testing.assert_array_equal(written.t2m, drawn[:, 0])
        assert written.t2m.dims == ("sample", "lat", "lon")
        assert written.t2m.attrs["units"] == "K"
        assert written.lat.attrs["units"] == "degrees_north"
        np.testing.assert_array_equal(written.lon, np.linspace(0, 50, 6))
        assert written.attrs["institution"] == "here"
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"variables": ["t2n"]}, ValueError, "no variable 't2n': did you mean 't2m'"),
        ({"samples": "tim"}, ValueError, "no dimension 'tim': did you mean 'time'"),
        ({"variables": "t2m"}, TypeError, r"write \[t2m\]"),
        ({"variables": []}, ValueError, "'variables' is empty"),
        ({"variables": ["height"]}, ValueError, "'height' has no dimension 'time'"),
        ({"variables": ["t2m", "index"]}, ValueError, "'index' has the dimensions"),
        ({"conditions": ["mask"]}, TypeError, "'mask' must hold floating-point numbers, but has the dtype int16"),
        ({"path": "none.nc"}, FileNotFoundError, "does not exist in '/.*': a relative path begins where the program"),
        ({"held_out": 2}, ValueError, "'held_out'"),
    ],
)
def test_mistakes_about_fields_are_told(tmp_path, arguments, error, message):
    fields(tmp_path)
    with pytest.raises(error, match=message):
        Fields(**{"path": tmp_path / "x.nc", "variables": ["t2m"], **arguments})


@pytest.mark.parametrize(("kind", "name"), [(Fields, "y.nc"), (Arrays, "y.nc"), (Images, "y.nc")])
def test_a_path_that_does_not_exist_is_told_the_nearest(tmp_path, kind, name):
    fields(tmp_path)
    arguments = {"variables": ["t2m"]} if kind is Fields else {}
    with pytest.raises(FileNotFoundError, match="does not exist in '.*': did you mean 'x.nc'"):
        kind(tmp_path / name, **arguments)


def test_missing_values_of_a_field_are_told_with_the_variable(tmp_path):
    values = np.full((10, 4, 6), 280, np.float32)
    values[2, 1, 3] = np.nan
    fields(tmp_path, t2m=(("time", "lat", "lon"), values))
    with pytest.raises(ValueError, match=r"'t2m' at time 2 holds nan at \[1, 3\]"):
        Fields(tmp_path / "x.nc", ["t2m"])[2]


def test_a_file_that_is_no_netcdf_is_told(tmp_path):
    pytest.importorskip("xarray")
    (tmp_path / "x.nc").write_text("text")
    with pytest.raises(ValueError, match="'path' names .*x.nc', which xarray does not read"):
        Fields(tmp_path / "x.nc", ["t2m"])


def test_a_zarr_store_is_read_like_a_netcdf_file(tmp_path):
    pytest.importorskip("zarr")
    stored = fields(tmp_path)
    stored.to_zarr(tmp_path / "x.zarr")
    np.testing.assert_array_equal(Fields(tmp_path / "x.zarr", ["t2m"])[3], stored.t2m.values[3:4])


def test_xarray_that_is_not_installed_is_told(tmp_path, monkeypatch):
    fields(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install mindscience_diffuser\[fields\]"):
        Fields(tmp_path / "x.nc", ["t2m"])


def images(folder, shape=(6, 5), mode="L", count=10):
    pixels = RNG.integers(0, 256, (count, *shape)).astype(np.uint8)
    for number, image in enumerate(pixels):
        (folder / f"{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(image, mode).save(folder / f"{number % 2}" / f"{number:02d}.png")
    return np.concatenate([pixels[::2], pixels[1::2]])


@pytest.mark.parametrize(("shape", "mode"), [((6, 5), "L"), ((6, 5, 3), "RGB")])
def test_images_lie_between_minus_one_and_one_and_are_written_back_unchanged(tmp_path, shape, mode):
    pixels = images(tmp_path, shape, mode)
    rows = whole(Images, tmp_path, classes=True)
    samples = np.stack([image for image, _ in rows])
    expected = pixels[:, None] if mode == "L" else pixels.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(samples, expected / 127.5 - 1, atol=1e-6)
    assert [int(label) for _, label in rows] == [0] * 5 + [1] * 5
    written = write_samples(Images(tmp_path), tmp_path, samples)
    np.testing.assert_array_equal(np.asarray(Image.open(written[7])), pixels[7])


def test_images_of_16_bits_keep_their_range(tmp_path):
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "0.png")
    Image.fromarray(np.array([[0, 0]], np.uint16)).save(tmp_path / "1.png")
    np.testing.assert_allclose(Images(tmp_path, held_out=[1, 2])[0], [[[-1, 1]]])


def test_images_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no image"):
        Images(tmp_path)
    images(tmp_path)
    Image.new("L", (7, 7)).save(tmp_path / "1" / "99.png")
    with pytest.raises(ValueError, match="99.png' has 7 x 7 pixels, but the first one 5 x 6"):
        whole(Images, tmp_path)
    (tmp_path / "1" / "99.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="99.png' cannot be read"):
        whole(Images, tmp_path)
    (tmp_path / "1" / "99.png").write_bytes((tmp_path / "1" / "01.png").read_bytes()[:60])
    with pytest.raises(ValueError, match="99.png' cannot be read"):
        whole(Images, tmp_path)
    Image.new("L", (5, 6)).save(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="loose.png' has none"):
        Images(tmp_path, classes=True)


def test_a_data_set_of_mindspore_is_taken(tmp_path):
    dataset = pytest.importorskip("mindspore.dataset")
    labels = np.arange(20, dtype=np.int32)
    source = dataset.NumpySlicesDataset({"x": VALUES.astype(np.float32), "label": labels}, shuffle=False)
    rows = whole(Copied, source)
    np.testing.assert_array_equal([row[0] for row in rows], VALUES.astype(np.float32))
    np.testing.assert_array_equal([row[1] for row in rows], labels)
    assert len(as_data(source, held_out=0.5)) == 10
    assert as_data(labels) is labels
    with pytest.raises(ValueError, match="batches of 4"):
        Copied(source.batch(4))
    with pytest.raises(TypeError, match="column 'label' must hold floating-point"):
        Copied(dataset.NumpySlicesDataset({"label": labels}, shuffle=False))


def test_a_data_set_of_mindspore_whose_rows_differ_is_told():
    dataset = pytest.importorskip("mindspore.dataset")
    rows = [np.zeros((2, size), np.float32) for size in (3, 3, 4)]
    source = dataset.GeneratorDataset(lambda: ((row,) for row in rows), ["x"])
    with pytest.raises(ValueError, match=r"'x' has the shape \(2, 4\).*row 2"):
        Copied(source)


def test_normalisation_is_that_of_all_values_and_undoes_itself(tmp_path):
    # The mean is far above the spread: sums of squares would lose all digits here.
    values = (VALUES * [[[1e-2]], [[3]]] + [[[1e4]], [[-5]]]).astype(np.float32)
    fitted = Normalisation.fit(values)
    np.testing.assert_allclose(fitted.mean, values.mean((0, 2, 3), np.float64), rtol=1e-12)
    np.testing.assert_allclose(fitted.deviation, values.std((0, 2, 3), np.float64), rtol=1e-9)
    fitted.save(tmp_path / "normalisation.json")
    loaded = Normalisation.load(tmp_path / "normalisation.json")
    normal = loaded.apply(values)
    np.testing.assert_allclose(normal.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std((0, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(loaded.undo(normal), values, rtol=1e-6)
    np.testing.assert_array_equal(loaded.apply(values[3]), normal[3])
    pairs = [(None, condition) for condition in values[:, :, 0, 0]]
    np.testing.assert_allclose(Normalisation.fit(pairs, place=1).mean, values[:, :, 0, 0].mean(0, np.float64))


def test_a_constant_channel_is_shifted_only():
    fitted = Normalisation.fit(np.stack([np.full((1, 5), 0.1), np.full((1, 5), 0.1)]))
    np.testing.assert_array_equal(fitted.deviation, 1)


def test_samples_that_cannot_be_normalised_are_told(tmp_path):
    with pytest.raises(ValueError, match="Sample 1 must be"):
        Normalisation.fit([VALUES[0], VALUES[0][:1]])
    with pytest.raises(TypeError, match="Sample 0 must hold floating-point"):
        Normalisation.fit(np.ones((2, 3), int))
    with pytest.raises(ValueError, match="empty"):
        Normalisation.fit([])
    with pytest.raises(ValueError, match="'deviation' above 0"):
        Normalisation([0.0], [0.0])
    (tmp_path / "x.json").write_text('{"mean": [0]}')
    with pytest.raises(ValueError, match="x.json' holds no mean and deviation"):
        Normalisation.load(tmp_path / "x.json")


def test_samples_without_a_writer_of_their_own_are_stored_as_npz(tmp_path):
    (path,) = write_samples(VALUES, tmp_path, VALUES)
    with np.load(path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["samples"], VALUES.astype(np.float32))
