"""Metrics by name and options, ready to be called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from medseg.comparison.metric import PairMetric
from medseg.comparison.pair import Pair
from medseg.errors import OptionError, PluginError
from medseg.options import check_options, options_of, parse_pairs
from medseg.plugin import Metric
from medseg.registry import Registry
from medseg.volume import Volume

DEFAULT = ("dice", "hd95", "nsd")


@dataclass(frozen=True, kw_only=True)
class ChosenMetric:
    """A metric and its options.

    Args:
        name: the component's name, with the options that were given: ``nsd tolerance_mm=2.0``.
        convention: all its options, as text.
        component: its description.
        call: the metric itself.
    """

    name: str
    convention: str
    component: Metric
    call: Callable[[Volume, Volume], Mapping[int, float]]

    def of(self, predicted: Volume, truth: Volume, pair: Pair) -> Mapping[int, float]:
        """A value for each label of two label maps; ``pair`` is made of the two.

        Raises:
            PluginError: the metric returned something else.
        """
        found = self.call.of(pair) if isinstance(self.call, PairMetric) else self.call(predicted, truth)
        try:
            return {int(label): float(value) for label, value in dict(found).items()}
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"metric {self.name} returned {found!r}, wanted a number for each label"
            ) from error


def choose_metrics(
    wanted: Sequence[str], *, registry: Registry, convention: str | None = None
) -> list[ChosenMetric]:
    """Metrics of these names, with options behind the name: ``"nsd tolerance_mm=2"``.

    Args:
        wanted: at least one.
        registry: where to look them up.
        convention: set as the option ``convention`` of each metric that knows it.

    Raises:
        UnknownNameError, AmbiguousNameError: see ``Registry.find``.
        OptionError: none is wanted, one is twice, a metric has no such option, or none knows the convention.
    """
    chosen = [_choose(text, registry, convention) for text in wanted]
    names = [metric.name for metric in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not chosen:
        raise OptionError("no metric is named; name one, such as dice")
    if twice:
        raise OptionError(f"metrics {', '.join(twice)} are named twice; each gives one column")
    if convention is not None and not any(f"convention={convention}" in m.convention for m in chosen):
        raise OptionError(
            f"none of the metrics {', '.join(names)} has the convention {convention!r}; "
            "see docs/reference/metrics.md"
        )
    return chosen


def _choose(text: str, registry: Registry, convention: str | None) -> ChosenMetric:
    name, *pairs = text.split() or [""]
    found = registry.find("metric", name)
    factory = registry.load(found)
    owner = f"metric {found.full_name}"
    options = options_of(factory)
    given = check_options(
        factory, parse_pairs(tuple(pairs), flag=text, example='"nsd tolerance_mm=2"'), owner=owner
    )
    known = options.get("convention")
    if known and convention in get_args(known.type):
        given.setdefault("convention", convention)
    settings = {key: given.get(key, option.default) for key, option in options.items()}
    changed = {key: value for key, value in settings.items() if value != options[key].default}
    return ChosenMetric(
        name=" ".join([found.component.name, *_spell(changed)]),
        convention=" ".join(_spell(settings)),
        component=cast(Metric, found.component),
        call=factory(**given),
    )


def _spell(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for key, v in settings.items()]
