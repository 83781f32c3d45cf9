"""`apply`: a deployment or a plan, while the fleet serves: checked, and planned where that is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.change.residency import serving, without_model
from controller.change.traffic_expected import traffic_expected
from controller.life.fleet_specs import worker_specs
from controller.life.own_process import in_own_process
from placement.constraints import without_devices
from placement.difference import difference
from placement.replan_devices import named_as
from placement.replanning import DEFAULT_BUDGET_S, Answer, Question, answer
from placement.still_known import still_known
from resharding.move_costs import Store
from resharding.network import network_of
from vocabulary.deployment import Deployment
from vocabulary.deployment_changes import DeploymentChanges, changes
from vocabulary.errors import InvalidInput
from vocabulary.fit import check_fit
from vocabulary.formats.disk import deployment_of
from vocabulary.formats.plan import parse_plan
from vocabulary.formats.yaml_text import read_yaml_or_json
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.serve_flags import ServeFlags
from vocabulary.trace import Trace

# Starting a process and reading its modules, and finishing what a search has begun, at most.
_BEYOND_BUDGET_S = 60.0


@dataclass(frozen=True, slots=True)
class Written:
    """A file as it was read: its text, its name for messages, and the folder that its paths start from."""

    text: str
    name: str
    folder: str = "."


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody applies: a deployment, a plan, or both. overrides: `PATH=VALUE` of --set.

    environment: for `${VAR}`; None: the controller's own. budget_s: of the search, if there is one.
    """

    deployment: Written | None = None
    plan: Written | None = None
    overrides: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """What the fleet serves now.

    flags: of the command line that started it. devices: ids of those that are there, None where that is not
    known. observed: arrivals of late. store_bytes_per_s, restart_s: what loading took so far. unloaded:
    models that no plan may hold, since somebody took them out.
    """

    deployment: Deployment
    placement: Placement
    flags: ServeFlags = ServeFlags()
    devices: frozenset[str] | None = None
    observed: Trace | None = None
    store_bytes_per_s: float = 1e9
    restart_s: float = 0.0
    unloaded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Application:
    """What to want from now on: `Supervisor.want(plan.placement, deployment=deployment, why=why)`.

    moves: replicas that are brought, in words. warnings: sentences for who applies it.
    """

    deployment: Deployment
    plan: Plan
    changes: DeploymentChanges
    why: str
    moves: tuple[str, ...] = ()
    num_bytes: int = 0
    warnings: tuple[str, ...] = field(default=())

    @property
    def is_nothing(self) -> bool:
        return self.changes.is_nothing and not self.moves and self.why == _NOTHING


_NOTHING = "nothing changes"


def kind_of(written: Written) -> str:
    """`deployment` or `plan`. Raises InvalidInput for a file of another kind."""
    document = read_yaml_or_json(written.text, name=written.name)
    kind = document.value.get("kind", "Deployment") if isinstance(document.value, dict) else None
    found = {"Deployment": "deployment", "PlacementPlan": "plan"}.get(str(kind))
    if found is None:
        hint = "apply a file of `kind: Deployment` or `kind: PlacementPlan`"
        raise InvalidInput(f"this is a {kind}, which cannot be applied", where=written.name, hint=hint)
    return found


async def applied(asked: Asked, running: Running) -> Application:
    """Everything checked, and planned where the placement may no longer be right. Changes nothing itself.

    The search runs in a process of its own. Raises InvalidInput for what is wrong or cannot change while the
    fleet serves, Infeasible where the models that the file requires do not fit.
    """
    deployment = _read(asked, running)
    found = changes(running.deployment, deployment, devices=running.devices)
    if asked.plan is not None:
        plan = parse_plan(asked.plan.text, name=asked.plan.name, deployment=deployment)
        # A group that only has another name stays as it is.
        placement = Placement(tuple(named_as(plan.placement.groups, running.placement)))
        for model in running.unloaded:
            placement = without_model(placement, model)
        plan = replace(plan, placement=placement)
        return _checked(_with_plan(plan, deployment, running, found, why=f"plan {asked.plan.name}"), running)
    if not found.needs_plan:
        why = "; ".join(found.sentences) or _NOTHING
        plan = Plan(still_known(running.placement, deployment), metadata={"policy": "as it was"})
        return _checked(Application(deployment, plan, found, why, warnings=deployment.warnings), running)
    result = await _searched(_question(running, deployment, budget_s=asked.budget_s))
    return _checked(_from_search(result, deployment, found), running)


async def replanned(
    running: Running,
    *,
    why: str,
    min_gain: float = 0.0,
    max_moves: int | None = None,
    budget_s: float | None = None,
    search: Callable[[Question], Awaitable[Answer]] | None = None,
) -> tuple[Application, Answer]:
    """The same deployment planned anew for the traffic of late, on the devices that are there.

    Every model that has a replica now keeps one, where that is possible. search: in place of one in a process
    of its own. Raises Infeasible.
    """
    question = _question(running, running.deployment, budget_s=budget_s)
    result = await (search or _searched)(replace(question, min_gain=min_gain, max_moves=max_moves))
    found = _from_search(result, running.deployment, DeploymentChanges())
    return replace(found, why=f"{why}: {result.why}"), result


async def _searched(question: Question) -> Answer:
    timeout_s = question.budget_s + _BEYOND_BUDGET_S
    return await in_own_process(answer, question, timeout_s=timeout_s, what="plan")


def _read(asked: Asked, running: Running) -> Deployment:
    """The deployment as it would be served."""
    if asked.deployment is None:
        if asked.plan is None or asked.overrides:
            raise InvalidInput(
                "there is no deployment file", hint="name one to apply, or a plan without --set"
            )
        return running.deployment
    written = asked.deployment
    read = deployment_of(
        written.text,
        name=written.name,
        folder=Path(written.folder),
        overrides=asked.overrides,
        environment=asked.environment,
    )
    return running.flags.applied_to(read)


def _question(running: Running, deployment: Deployment, *, budget_s: float | None) -> Question:
    """Models without a place yet get one, if there is room for them; on demand they come when asked for."""
    deployment = serving(deployment, running.unloaded)
    present, current = deployment, running.placement
    if running.devices is not None:
        absent = {device.id for device in deployment.cluster.devices} - running.devices
        present = without_devices(deployment, absent)
        current = Placement(tuple(group for group in current.groups if absent.isdisjoint(group.devices)))
    required = [model.name for model in deployment.models if not model.on_demand.is_enabled]
    kept = running.placement.models | {
        model.name for model in deployment.models if model.name not in running.deployment.model_names
    }
    return Question(
        current=current,
        deployment=present,
        trace=traffic_expected(deployment, running.observed),
        required=tuple(name for name in required if name in kept),
        horizon_s=deployment.replanning.horizon_s,
        store_bytes_per_s=running.store_bytes_per_s,
        restart_s=running.restart_s,
        budget_s=budget_s or deployment.time_budget_s or DEFAULT_BUDGET_S,
    )


def _from_search(result: Answer, deployment: Deployment, found: DeploymentChanges) -> Application:
    warnings = list(deployment.warnings)
    if result.left_out:
        names = ", ".join(result.left_out)
        warnings.append(f"no room for {names}: give the cluster more devices, or mark models `on_demand`")
    why = ". ".join(part for part in ("; ".join(found.sentences), result.why) if part)
    return Application(deployment, result.plan, found, why, result.moves, result.num_bytes, tuple(warnings))


def _with_plan(
    plan: Plan, deployment: Deployment, running: Running, found: DeploymentChanges, *, why: str
) -> Application:
    current = still_known(running.placement, deployment)
    moved = difference(
        current,
        plan.placement,
        deployment=deployment,
        network=network_of(deployment.cluster),
        store=Store(running.store_bytes_per_s),
    )
    return Application(
        deployment,
        plan,
        found,
        "; ".join((why, *found.sentences)),
        tuple(f"{move.model} to {move.group} from {move.origin}" for move in moved.moves),
        sum(move.num_bytes for move in moved.moves),
        deployment.warnings,
    )


def _checked(application: Application, running: Running) -> Application:
    """What would fail only when it is carried out is refused here."""
    placement = application.plan.placement
    check_fit(placement, application.deployment)
    worker_specs(application.deployment, placement, key="")
    missing = sorted(_devices(placement) - _devices(running.placement) - (running.devices or frozenset()))
    if missing and running.devices is not None:
        message = (
            f"the plan uses {_listed(missing)}, which the cluster does not have now, or which is drained"
        )
        hint = "start the nodes, take back what is drained (`statmux drain --undo`), or plan without them"
        raise InvalidInput(message, where="groups", hint=hint)
    names = application.deployment.model_names
    unplaced = sorted(running.placement.models.difference(placement.models).intersection(names))
    stay_out = sorted(running.unloaded.intersection(names)) if not application.is_nothing else []
    told = [f"{_listed(unplaced)} will have no replica any more"] if unplaced else []
    told += [f"{name} was unloaded, and stays out: `statmux models load {name}`" for name in stay_out]
    return replace(application, warnings=(*application.warnings, *told))


def _devices(placement: Placement) -> set[str]:
    return {device for group in placement.groups for device in group.devices}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
