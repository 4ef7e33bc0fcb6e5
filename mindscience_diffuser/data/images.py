"""Images in a folder, through Pillow."""

from pathlib import Path

import numpy as np

from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.data.values import not_found
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.validation import check_bool, check_path

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class Images:
    """Images of one size in a folder and its sub-folders: grey ones ``(1, H, W)``, others ``(3, H, W)``, in [-1, 1].

    Args:
        path (str): The folder.
        classes (bool): Whether the name of the sub-folder is the class of an image, given as its number in the order
            of the alphabet. Default: ``False``.
        split (str): ``"train"`` or ``"test"``. Default: ``"train"``.
        held_out (float or Sequence[int]): Share of images that ``"test"`` gets, drawn the same way each time; or the
            first one of them, in the order of their paths, and the one after the last. Default: ``0.1``.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ModuleNotFoundError: If Pillow is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range, or an image lies in no sub-folder. ``[k]`` raises it for an
            image of another size than the first, and for one that cannot be read.
    """

    def __init__(self, path, classes=False, split="train", held_out=0.1):
        self.path = check_path("path", path)
        if not self.path.is_dir():
            raise not_found("path", "folder", path)
        self.files = sorted(file for file in self.path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not self.files:
            raise FileNotFoundError(f"'path' names the folder '{path}', which holds no image.")
        self.class_names = None
        if check_bool("classes", classes):
            loose = [file for file in self.files if file.parent == self.path]
            if loose:
                raise ValueError(
                    f"'classes' takes the sub-folder of each image as its class, but '{loose[0]}' has none."
                )
            self.class_names = sorted({self._folder(file) for file in self.files})
        self.grey, self.size = _grey_and_size(self.files[0])
        self.numbers = chosen(len(self.files), split, held_out, shuffled=True)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        file = self.files[self.numbers[k]]
        image = self._read(file)
        if self.class_names is None:
            return image
        return image, np.int32(self.class_names.index(self._folder(file)))

    def write(self, directory, samples):
        """Writes samples as ``samples/00000.png``, ``samples/00001.png`` and so on.

        Args:
            directory (str or Path): The folder.
            samples (numpy.ndarray): Shape ``(N, C, H, W)``; values beyond [-1, 1] are limited to it.

        Returns:
            list of Path, the files.
        """
        return write_png(Path(directory) / "samples", samples)

    def _folder(self, file):
        return file.relative_to(self.path).parts[0]

    def _read(self, file):
        with _opened(file) as image:
            if image.size != self.size:
                raise ValueError(
                    f"The image '{file}' has {image.size[0]} x {image.size[1]} pixels, but the first one "
                    f"{self.size[0]} x {self.size[1]}: bring all of them to one size."
                )
            try:
                image.load()
            except OSError as error:
                raise ValueError(f"The image '{file}' cannot be read: {error}.") from None
            # Pillow turns 16-bit grey into 8-bit by cutting it off, not by scaling.
            deep = image.mode.startswith("I")
            if not deep:
                image = image.convert("L" if self.grey else "RGB")
            pixels = np.asarray(image, np.float32)
        pixels = pixels[None] if self.grey else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels * (2 / (65535 if deep else 255)) - 1, np.float32)


def write_png(directory, samples):
    """Writes images ``(N, C, H, W)``, C 1 or 3, in [-1, 1], as PNG files numbered from 0; returns their paths."""
    from PIL import Image

    directory.mkdir(parents=True, exist_ok=True)
    pixels = np.rint((np.clip(np.asarray(samples, np.float32), -1, 1) + 1) * 127.5).astype(np.uint8)
    paths = []
    for number, image in enumerate(pixels):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        paths.append(directory / f"{number:05d}.png")
        write_atomically(paths[-1], picture.save)
    return paths


def _opened(file):
    """Opens an image, whose pixels are not read yet."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ModuleNotFoundError("Images needs Pillow: pip install mindscience_diffuser[runs]") from None
    try:
        return Image.open(file)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"The image '{file}' cannot be read: {error}.") from None


def _grey_and_size(file):
    """Returns whether an image is grey, and its width and height."""
    with _opened(file) as image:
        if image.mode == "F":
            raise ValueError(f"The image '{file}' holds floating-point numbers, whose range is unknown: use Arrays.")
        return image.mode in ("1", "L", "LA") or image.mode.startswith("I"), image.size
