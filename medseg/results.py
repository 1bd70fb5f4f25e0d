"""The files of a result: labels, where they came from, a picture, and exports; all of them or none."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from medseg.errors import OptionError, VolumeError
from medseg.formats import format_of, save
from medseg.options import check_options, parse_pairs
from medseg.plugin import Export, MetricValues, Result
from medseg.registry import Registry, default_registry
from medseg.segmentation import Segmentation
from medseg.volume import Volume


@dataclass(frozen=True, kw_only=True)
class ChosenExport:
    """An export and its options, ready to write.

    Args:
        write: called with a ``Result`` and a path.
        suffix: of the file.
        name: in full.
        image_format: as in ``Export``.
    """

    write: Callable[[Result, Path], None]
    suffix: str
    name: str
    image_format: str = ""


def find_exports(wanted: Sequence[str], *, registry: Registry | None = None) -> list[ChosenExport]:
    """The exports of these names, with options behind the name: ``"stl smooth_mm=1"``.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: the export has no such option, or two exports would write the same file.
    """
    registry = registry or default_registry()
    chosen: list[ChosenExport] = []
    for text in wanted:
        name, *pairs = text.split() or [""]
        found = registry.find("export", name)
        factory = registry.load(found)
        given = parse_pairs(tuple(pairs), flag="--as", example='--as "stl smooth_mm=1"')
        options = check_options(factory, given, owner=f"export {found.full_name}")
        component = cast(Export, found.component)
        suffix = component.suffix
        if any(other.suffix == suffix for other in chosen):
            raise OptionError(f"--as {text!r}: another export writes the same file (*{suffix}); choose one")
        chosen.append(
            ChosenExport(
                write=partial(factory, **options),
                suffix=suffix,
                name=found.full_name,
                image_format=component.image_format,
            )
        )
    return chosen


def check_exports(exports: Sequence[ChosenExport], source: Path) -> None:
    """Refuse, before the work, exports that cannot be made of a result on this image.

    Raises:
        VolumeError: one refers to images of another format.
    """
    for export in exports:
        if export.image_format and (found := format_of(source)) != export.image_format:
            raise VolumeError(
                f"{source.name}: it is read by {found}, and {export.name} refers to images of "
                f"{export.image_format}; give such images, or leave this export out"
            )


def suffixes_beside(
    exports: Sequence[ChosenExport] = (), *, picture: bool = False, maps: Sequence[str] = ()
) -> tuple[str, ...]:
    """Suffixes of the files that come with a label map, in the order in which they appear before it.

    Args:
        exports: from ``find_exports``.
        picture: whether there is one.
        maps: names of the maps that go with it, from ``map_names``.
    """
    pictures = [".png"] if picture else []
    return (".json", *pictures, *(e.suffix for e in exports), *(f"_{name}.nii.gz" for name in maps))


def result_writers(
    segmentation: Segmentation,
    *,
    image: Volume,
    record: Mapping[str, Any] | None = None,
    source: Path | None = None,
    read_options: Mapping[str, Any] | None = None,
    exports: Sequence[ChosenExport] = (),
    picture: bool = False,
    metrics: Sequence[MetricValues] = (),
) -> list[Callable[[Path], None]]:
    """What writes each file of a result, in the order of ``suffixes_beside``, the label map last.

    Args:
        segmentation: what to write.
        image: what was segmented.
        record: what the JSON file says; all of the provenance, if None.
        source: where it was read from, for exports that refer to it.
        read_options: the permissions that it was read with.
        exports: from ``find_exports``.
        picture: also draw three planes as PNG.
        metrics: how the result compares with a reference, for exports that report it.

    Each raises, when called with a path, ``VolumeError`` if it cannot hold the result, and
    ``ResourceError`` if the system refuses.
    """
    result = Result(
        labels=segmentation.labels,
        classes=segmentation.classes,
        model=segmentation.provenance["model"],
        provenance=segmentation.provenance,
        source=source,
        read_options=read_options or {},
        probabilities=segmentation.probabilities,
        metrics=tuple(metrics),
    )
    writers: list[Callable[[Path], None]] = [
        partial(_write_record, segmentation.provenance if record is None else record)
    ]
    if picture:
        from medseg.picture import draw  # matplotlib is slow to import, and only needed here

        title = ", ".join(measure.label.name for measure in segmentation.measures[:3])
        writers.append(partial(draw, image, segmentation, title=title))
    writers += [partial(export.write, result) for export in exports]
    writers += [partial(save, map_) for map_ in segmentation.maps.values()]
    writers.append(partial(save, segmentation.labels))
    return writers


def _write_record(record: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(dict(record), indent=2) + "\n", encoding="utf-8")
