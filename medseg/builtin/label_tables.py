"""The names and colours of labels, as the tables that viewers read beside a label map."""

from pathlib import Path

from medseg.atomic import write_bytes_whole
from medseg.plugin import Label, Result


def write_slicer_colours(result: Result, path: str | Path) -> None:
    """Write a colour table of 3D Slicer (.ctbl): value, name, red, green, blue, opacity."""
    _write(
        path,
        "# Color table file\n# value name red green blue alpha\n",
        # Slicer separates by blanks.
        [f"{c.value} {c.name.replace(' ', '_')} {_rgb(c)} {255 if c.value else 0}" for c in result.classes],
    )


def write_itksnap_labels(result: Result, path: str | Path) -> None:
    """Write a label description of ITK-SNAP: index, colour, opacity, visibility, mesh, "name"."""
    _write(
        path,
        "# ITK-SnAP Label Description File\n# IDX -R- -G- -B- -A-- VIS MSH LABEL\n",
        [
            f'{c.value:5d} {_rgb(c)} {shown} {shown} {shown} "{_plain(c.name)}"'
            for c in result.classes
            for shown in [int(c.value > 0)]
        ],
    )


def _rgb(label: Label) -> str:
    """``#e8554e`` -> ``232 85 78``."""
    return " ".join(str(byte) for byte in bytes.fromhex(label.colour.removeprefix("#")))


def _plain(name: str) -> str:
    return name.replace('"', "'")


def _write(path: str | Path, head: str, lines: list[str]) -> None:
    write_bytes_whole(path, (head + "\n".join(lines) + "\n").encode())
