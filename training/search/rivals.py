"""The packages people use, as methods: Optuna's samplers, BoTorch and SMAC3, each with its own settings by default.

None of them searches a list of configurations, and some draw one again, so every draw is turned into a new one: what
is not in the space, or was drawn before, is replaced by the nearest that is free, and the package is told the loss of
that one. A repeat thus costs a package nothing, as it would cost nothing a user who looks it up.
BoTorch is given all free configurations to choose from, which is the best it can do.

Ordered lists are given as the place of the value, which is how our own methods see them. A failed training is one that
the package leaves out (`constrained` false), or the violation of a constraint with the worst loss so far, where the
package has constraints.

The packages are imported when a method is made.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from .hyperband import Hyperband
from .method import Observation, OneByOne, Suggestion
from .parameter import Categorical, Continuous, Integer, Ordinal, Parameter, Value
from .space import Configuration, Space

# SMAC's initial design takes a quarter of the trainings it expects.
SMAC_TRAININGS = 60
# Ax starts BoTorch from 5 quasi-random configurations.
BOTORCH_INITIAL = 5
# BOHB (Falkner et al. 2018): a third of the configurations are random.
RANDOM_SHARE = 1 / 3


def package(name: str) -> ModuleType:
    """Import a package. Raises ValueError, which says how to get it, where it is missing."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        raise ValueError(f"The comparison needs {name.partition('.')[0]}: pip install {name.partition('.')[0]}")
    return importlib.import_module(name)


class Rival(OneByOne):
    """A package behind the interface of our methods.

    Raises:
        ValueError: the package is not installed, or the space has conditional parameters.
    """

    def __init__(self, space: Space, seed: int = 0):
        if any(parameter.only_if is not None for parameter in space.parameters):
            raise ValueError("The packages are compared on spaces without conditional parameters.")
        super().__init__(space, seed)
        self.space = space
        self._told = 0
        self._worst: float | None = None
        if space.size is not None:
            self.listed = space.enumerate()
            self.rows = space.encode(self.listed)
            self._place = {space.key(configuration): n for n, configuration in enumerate(self.listed)}

    def draw(self) -> Configuration | None:
        """What the package would train next; None if it has nothing more to offer."""
        raise NotImplementedError

    def learn(self, observation: Observation, worst: float | None) -> None:
        """The package takes a result. worst: the largest loss so far, None if there is none."""
        raise NotImplementedError

    def choose(self) -> Configuration | None:
        """See `OneByOne`."""
        for observation in self.trials.observed[self._told :]:
            if not observation.failed:
                self._worst = max(observation.loss, observation.loss if self._worst is None else self._worst)
            self.learn(observation, self._worst)
        self._told = len(self.trials.observed)
        if self.space.size is not None and len(self.trials.used) == self.space.size:
            return None
        drawn = self.draw()
        if drawn is None:
            return self.trials.unused_at_random()
        return drawn if self.space.size is None else self.nearest(drawn)

    def free(self) -> np.ndarray:
        """(m,) bool: which configurations of a finite space were not drawn."""
        free = np.ones(len(self.listed), bool)
        free[[self._place[key] for key in self.trials.used]] = False
        return free

    def nearest(self, drawn: Configuration) -> Configuration:
        """The free configuration nearest to one of the ranges', itself if it is free; at random among equals."""
        free = np.flatnonzero(self.free())
        (row,) = Space(self.space.parameters).encode([drawn])
        distance = ((self.rows[free] - row) ** 2).sum(1)
        nearest = free[np.isclose(distance, distance.min(), rtol=0, atol=1e-12)]
        return self.listed[self.trials.random().choice(nearest)]


class Optuna(Rival):
    """A sampler of Optuna's, asked and told.

    Args:
        sampler: makes it, of Optuna's module and a seed. constrained: failures violate a constraint; else they are
            trials that failed, which Optuna's samplers leave out.
    """

    def __init__(self, space: Space, seed: int, sampler: Callable[[ModuleType, int], Any], constrained: bool = False):
        super().__init__(space, seed)
        self._optuna = package("optuna")
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        self._study = self._optuna.create_study(sampler=sampler(self._optuna, seed))
        self._distributions = _optuna_distributions(self._optuna, space)
        self._constrained = constrained

    def draw(self) -> Configuration:
        """See `Rival`. The trial that Optuna opens is closed; the one that is trained is added with its result."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return _values(self.space, trial.params)

    def learn(self, observation: Observation, worst: float | None) -> None:
        """See `Rival`."""
        if observation.failed and not (self._constrained and worst is not None):
            return
        self._study.add_trial(
            self._optuna.trial.create_trial(
                params=_places(self.space, observation.configuration),
                distributions=self._distributions,
                value=worst if observation.failed else observation.loss,
                constraints={"trained": 1.0 if observation.failed else -1.0} if self._constrained else None,
            )
        )


class BoTorch(Rival):
    """`SingleTaskGP` with `LogExpectedImprovement` of all free configurations, fitted anew for each draw.

    Failed configurations are left out.

    Raises:
        ValueError: see `Rival`, or the space has infinitely many configurations.
    """

    def __init__(self, space: Space, seed: int = 0):
        if space.size is None:
            raise ValueError("BoTorch is compared on finite spaces.")
        super().__init__(space, seed)
        self._torch = package("torch")
        for name in ("botorch.models", "botorch.fit", "botorch.acquisition", "gpytorch.mlls"):
            package(name)
        from scipy.stats import qmc

        self._initial = qmc.Sobol(space.dimension, seed=seed).random(8)[:BOTORCH_INITIAL]
        self._known: list[tuple[Configuration, float]] = []

    def learn(self, observation: Observation, worst: float | None) -> None:
        """See `Rival`."""
        if not observation.failed:
            self._known.append((observation.configuration, observation.loss))

    def draw(self) -> Configuration | None:
        """See `Rival`."""
        number = len(self.trials.configurations)
        if number < len(self._initial):
            return Space(self.space.parameters).decode(self._initial[number : number + 1])[0]
        if not self._known:
            return None
        from botorch.acquisition import LogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        torch, free = self._torch, np.flatnonzero(self.free())
        x = torch.from_numpy(self.space.encode([configuration for configuration, _ in self._known]))
        y = -torch.tensor([[loss] for _, loss in self._known], dtype=torch.float64)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(self.trials.seed + number)
            model = SingleTaskGP(x, y)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            gain = LogExpectedImprovement(model, best_f=y.max())
            with torch.no_grad():
                gains = [gain(rows[:, None]) for rows in torch.from_numpy(self.rows[free]).split(8192)]
        return self.listed[free[int(torch.cat(gains).argmax())]]


class SMAC(Rival):
    """SMAC3's facade for hyper-parameters: a random forest and log expected improvement, asked and told.

    Failed configurations are told as crashed, at the cost of the worst loss so far.
    """

    def __init__(self, space: Space, seed: int = 0):
        super().__init__(space, seed)
        smac, self._configspace = package("smac"), package("ConfigSpace")
        self._ranges = _smac_space(self._configspace, space, seed)
        self._folder = tempfile.TemporaryDirectory(prefix="smac")
        scenario = smac.Scenario(
            self._ranges, deterministic=True, n_trials=SMAC_TRAININGS, seed=seed, output_directory=self._folder.name
        )
        self._smac = smac.HyperparameterOptimizationFacade(scenario, _never, logging_level=50, overwrite=True)

    def draw(self) -> Configuration | None:
        """See `Rival`."""
        try:
            asked = self._smac.ask()
        except StopIteration:
            return None
        self._instance = asked.seed
        return _values(self.space, dict(asked.config))

    def learn(self, observation: Observation, worst: float | None) -> None:
        """See `Rival`."""
        from smac.runhistory import StatusType, TrialInfo, TrialValue

        places = _places(self.space, observation.configuration)
        trial = TrialInfo(self._configspace.Configuration(self._ranges, places), seed=self._instance)
        if not observation.failed:
            self._smac.tell(trial, TrialValue(cost=observation.loss), save=False)
        elif worst is not None:
            self._smac.tell(trial, TrialValue(cost=worst, status=StatusType.CRASHED), save=False)


class BOHB(Hyperband):
    """Hyperband whose configurations come from Optuna's multivariate TPE by BOHB's rule (Falkner et al. 2018).

    The model is of the highest resource with enough results, dimension + 2; a third of the configurations, and those
    before there is a model, are random. Which results are the good ones, and how densities are smoothed, is Optuna's.
    """

    def __init__(self, space: Space, resource: int, eta: int = 3, seed: int = 0):
        super().__init__(space, resource, eta, seed)
        self._optuna = package("optuna")

    def choose(self, resource: int) -> Configuration | None:
        """See `Hyperband`."""
        space, rng = self.trials.space, self.trials.random()
        enough = len(space.parameters) + 2
        modelled = [r for r in sorted({r for _, r in self.losses}) if self._count(r) >= enough]
        if rng.random() < RANDOM_SHARE or not modelled:
            return self.trials.unused_at_random()
        model = Optuna(
            space,
            int(rng.integers(2**31)),
            lambda optuna, seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=0),
        )
        for trial, configuration in self.trials.configurations.items():
            loss = self.losses.get((trial, modelled[-1]))
            if loss is None:
                model.take_up(Suggestion(configuration, trial))
            else:
                model.tell(Observation(configuration, trial, loss))
        return model.choose()

    def _count(self, resource: float) -> int:
        return sum(r == resource and np.isfinite(loss) for (_, r), loss in self.losses.items())


def optuna_tpe(space: Space, seed: int = 0) -> Optuna:
    """Optuna's `TPESampler`; failures violate a constraint."""
    return Optuna(space, seed, lambda optuna, seed: optuna.samplers.TPESampler(seed=seed), constrained=True)


def optuna_gp(space: Space, seed: int = 0) -> Optuna:
    """Optuna's `GPSampler`; failures are left out."""
    return Optuna(space, seed, _gp_sampler)


def optuna_gp_constrained(space: Space, seed: int = 0) -> Optuna:
    """Optuna's `GPSampler`; failures violate a constraint."""
    return Optuna(space, seed, _gp_sampler, constrained=True)


def _gp_sampler(optuna: ModuleType, seed: int) -> Any:
    package("torch").set_num_threads(1)
    return optuna.samplers.GPSampler(seed=seed)


@dataclass(frozen=True)
class Package:
    """A method of a package, and the modules that it needs."""

    make: Callable[[Space, int], Rival]
    modules: tuple[str, ...]

    @property
    def installed(self) -> bool:
        return all(importlib.util.find_spec(module) is not None for module in self.modules)


RIVALS = {
    "Optuna TPE": Package(optuna_tpe, ("optuna",)),
    "Optuna GP": Package(optuna_gp, ("optuna", "torch")),
    "BoTorch": Package(BoTorch, ("botorch", "gpytorch", "torch")),
    "SMAC": Package(SMAC, ("smac", "ConfigSpace")),
}


def _places(space: Space, configuration: Configuration) -> dict[str, float | int]:
    """What the packages are told: numbers of ranges, places in lists."""
    return {
        p.name: configuration[p.name] if isinstance(p, Continuous | Integer) else p.values.index(configuration[p.name])
        for p in space.parameters
    }


def _values(space: Space, places: dict[str, Any]) -> Configuration:
    """The configuration of `_places`."""
    kinds: dict[type, Callable[[Any], Value]] = {Continuous: float, Integer: int}
    return {
        p.name: kinds[type(p)](places[p.name]) if type(p) in kinds else p.values[int(places[p.name])]
        for p in space.parameters
    }


def _optuna_distributions(optuna: ModuleType, space: Space) -> dict[str, Any]:
    kinds = optuna.distributions

    def distribution(p: Parameter) -> Any:
        if isinstance(p, Continuous):
            return kinds.FloatDistribution(p.low, p.high, log=p.log)
        if isinstance(p, Integer):
            return kinds.IntDistribution(p.low, p.high, log=p.log)
        if isinstance(p, Ordinal):
            return kinds.IntDistribution(0, p.size - 1)
        return kinds.CategoricalDistribution(range(p.size))

    return {p.name: distribution(p) for p in space.parameters}


def _smac_space(configspace: ModuleType, space: Space, seed: int) -> Any:
    def hyperparameter(p: Parameter) -> Any:
        if isinstance(p, Continuous):
            return configspace.Float(p.name, (p.low, p.high), log=p.log)
        if isinstance(p, Integer):
            return configspace.Integer(p.name, (p.low, p.high), log=p.log)
        if isinstance(p, Categorical) or p.size == 1:
            return configspace.Categorical(p.name, list(range(p.size)))
        return configspace.Integer(p.name, (0, p.size - 1))

    ranges = configspace.ConfigurationSpace(seed=seed)
    ranges.add(*map(hyperparameter, space.parameters))
    return ranges


def _never(config: Any, seed: int = 0) -> float:
    raise AssertionError("SMAC is asked and told: it trains nothing.")
