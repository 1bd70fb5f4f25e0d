"""The files of a result: labels, where they came from, a picture, and exports; all of them or none."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from medseg.atomic import write_together
from medseg.formats import known_suffixes, save, stem_of
from medseg.plugin import Export, Result
from medseg.predict import Segmentation
from medseg.registry import Registered, Registry, default_registry
from medseg.volume import Volume


def find_exports(names: Sequence[str], *, registry: Registry | None = None) -> list[Registered]:
    """The exports of these names, full or short.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
    """
    registry = registry or default_registry()
    return [registry.find("export", name) for name in names]


def result_files(target: Path, *, exports: Sequence[Registered] = (), picture: bool = False) -> list[Path]:
    """The files of a result, in the order in which they appear; the label map is the last.

    Args:
        target: of the label map; the others have its stem.
        exports: from ``find_exports``.
        picture: whether there is one.
    """
    stem = stem_of(target.name, known_suffixes(default_registry()))
    suffixes = [".json", *([".png"] if picture else []), *(_suffix(export) for export in exports)]
    return [*(target.with_name(stem + suffix) for suffix in suffixes), target]


def write_result(
    segmentation: Segmentation,
    target: Path,
    *,
    image: Volume,
    source: Path | None = None,
    read_options: Mapping[str, Any] | None = None,
    exports: Sequence[Registered] = (),
    picture: bool = False,
    registry: Registry | None = None,
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
        registry: whose exports they are.

    Returns:
        The files, the label map last.

    Raises:
        VolumeError: an export cannot hold the result.
        ResourceError: the system refused.
    """
    registry = registry or default_registry()
    result = Result(
        labels=segmentation.labels,
        classes=segmentation.classes,
        model=segmentation.provenance["model"],
        provenance=segmentation.provenance,
        source=source,
        read_options=read_options or {},
    )
    writers: list[Callable[[Path], None]] = [partial(_write_origin, segmentation.provenance)]
    if picture:
        from medseg.picture import draw  # matplotlib is slow to import, and only needed here

        title = ", ".join(measure.label.name for measure in segmentation.measures[:3])
        writers.append(partial(draw, image, segmentation, title=title))
    writers += [partial(registry.load(export), result) for export in exports]
    writers.append(partial(save, segmentation.labels))
    files = result_files(target, exports=exports, picture=picture)
    write_together(list(zip(files, writers, strict=True)))
    return files


def _write_origin(provenance: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(dict(provenance), indent=2) + "\n", encoding="utf-8")


def _suffix(export: Registered) -> str:
    return cast(Export, export.component).suffix
