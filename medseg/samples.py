"""The sample volumes of a source checkout: ``sample_volumes/`` beside the package."""

from pathlib import Path, PurePath

from medseg.errors import OptionError, ResourceError

FOLDER = Path(__file__).parent.parent / "sample_volumes"


def find_sample(name: str) -> Path:
    """The path of a sample file.

    Raises:
        OptionError: it names what is elsewhere.
        ResourceError: this installation has no samples.
    """
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise OptionError(f"{name} is no sample's name: wanted a path within {FOLDER.name}")
    path = FOLDER / name
    if not path.exists():
        raise ResourceError(
            f"there is no sample {name} in {FOLDER}: samples come with a source checkout, not with the "
            "wheel. Clone the repository, or use your own: medseg segment head.nii.gz -m brain-mask -o out"
        )
    return path
