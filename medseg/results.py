"""The files of a result: labels, where they came from, a picture, and exports; all of them or none."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from medseg.atomic import write_together
from medseg.errors import OptionError
from medseg.formats import known_suffixes, save, stem_of
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
    """

    write: Callable[[Result, Path], None]
    suffix: str


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
        suffix = cast(Export, found.component).suffix
        if any(other.suffix == suffix for other in chosen):
            raise OptionError(f"--as {text!r}: another export writes the same file (*{suffix}); choose one")
        chosen.append(ChosenExport(write=partial(factory, **options), suffix=suffix))
    return chosen


def result_files(
    target: Path,
    *,
    exports: Sequence[ChosenExport] = (),
    picture: bool = False,
    maps: Sequence[str] = (),
) -> list[Path]:
    """The files of a result, in the order in which they appear; the label map is the last.

    Args:
        target: of the label map; the others have its stem.
        exports: from ``find_exports``.
        picture: whether there is one.
        maps: names of the maps that go with it, from ``LoadedModel.map_names``.
    """
    stem = stem_of(target.name, known_suffixes(default_registry()))
    suffixes = [".json", *([".png"] if picture else []), *(export.suffix for export in exports)]
    suffixes += [f"_{name}.nii.gz" for name in maps]
    return [*(target.with_name(stem + suffix) for suffix in suffixes), target]


def write_result(
    segmentation: Segmentation,
    target: Path,
    *,
    image: Volume,
    source: Path | None = None,
    read_options: Mapping[str, Any] | None = None,
    exports: Sequence[ChosenExport] = (),
    picture: bool = False,
    metrics: Sequence[MetricValues] = (),
) -> list[Path]:
    """Write all files of a result; if one of them fails, none appears.

    Args:
        segmentation: what to write.
        target: of the label map; the others have its stem.
        image: what was segmented.
        source: where it was read from, for exports that refer to it.
        read_options: the permissions that it was read with.
        exports: from ``find_exports``.
        picture: also draw three planes as PNG.
        metrics: how the result compares with a reference, for exports that report it.

    Returns:
        The files, the label map last.

    Raises:
        VolumeError: an export cannot hold the result.
        ResourceError: the system refused.
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
    writers: list[Callable[[Path], None]] = [partial(_write_origin, segmentation.provenance)]
    if picture:
        from medseg.picture import draw  # matplotlib is slow to import, and only needed here

        title = ", ".join(measure.label.name for measure in segmentation.measures[:3])
        writers.append(partial(draw, image, segmentation, title=title))
    writers += [partial(export.write, result) for export in exports]
    writers += [partial(save, map_) for map_ in segmentation.maps.values()]
    writers.append(partial(save, segmentation.labels))
    files = result_files(target, exports=exports, picture=picture, maps=list(segmentation.maps))
    write_together(list(zip(files, writers, strict=True)))
    return files


def _write_origin(provenance: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(dict(provenance), indent=2) + "\n", encoding="utf-8")
