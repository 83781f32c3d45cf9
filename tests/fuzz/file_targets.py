"""What is read from files: deployments, plans, profiles, traces, outcomes, checkpoints, secrets."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from controller.keys import _parsed as parsed_keys
from controller.security.certificates import open_certificates
from controller.tenants import tenants_of
from tests.controller.security.authority import Authority
from tests.fuzz.runner import Target
from tests.live.fleet_files import write_chat
from tests.vocabulary.importers.files import PUBLISHED
from tests.vocabulary.importers.test_alpa import HEADER, given_row, searched_row
from vocabulary.errors import InvalidInput
from vocabulary.formats.deployment import parse_deployment
from vocabulary.formats.importers.alpa import read_alpa
from vocabulary.formats.importers.formats import import_files
from vocabulary.formats.importers.imported import TraceFile
from vocabulary.formats.importers.pickled import arrays_of
from vocabulary.formats.outcomes import parse_outcomes
from vocabulary.formats.plan import format_plan, parse_plan
from vocabulary.formats.profile import parse_profile
from vocabulary.formats.trace import format_trace, read_trace
from vocabulary.formats.yaml_text import scalar
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.security import Security, TlsFiles, TokenSpec
from workers.weights import open_source

ROOT = Path(__file__).parents[2]
_PLACEMENT = Placement(
    (
        Group("g0", ("n-0:0",), ParallelConfig(1, 1), ("a",)),
        Group("g1", ("n-0:1",), ParallelConfig(1, 1), ("b",)),
    )
)
_SETTINGS = (b"serving.policy.router=round_robin", b"models[0].slo.latency_ms=5")
_VALUES = (b"[1, 2, {a: b}]", b"'x: y'", b"1e3", b"!!python/object:os.system [x]")
_OUTCOMES = b"""request_id,model,arrival_s,group,good,finish_s,reason
0,a,0.5,g0,1,0.75,
1,b,0.6,g1,0,0.9,late
2,a,0.7,,0,,slo_infeasible
"""
_TRACE = b"timestamp_s,model,input_tokens,output_tokens,tenant\n0,a,10,5,x\n0.5,b,3,2,y\n1.25,a,7,1,x\n"
_JSONL = (
    b'{"timestamp_s": 0, "model": "a", "input_tokens": 4, "output_tokens": 2, "prefix_hashes": [1, 2]}\n' * 2
)


def file_targets() -> tuple[Target, ...]:
    """Weights: what is cheap to read comes more often."""
    wrong = (InvalidInput,)
    examples = tuple(path.read_bytes() for path in sorted((ROOT / "deploy" / "examples").rglob("*.yaml")))
    complete = (ROOT / "tests" / "vocabulary" / "complete.yaml").read_bytes()
    profiles = tuple(path.read_bytes() for path in sorted((ROOT / "deploy" / "examples").rglob("*.json")))
    pickled = tuple(one.raw for files in PUBLISHED.values() for one in files if one.raw[:1] == b"\x80")
    searched = searched_row("((1, 1), (1, 1))", "[0.1, 0.2]")
    alpa = "\n".join((HEADER, given_row(), given_row())).encode(), searched.encode()
    return (
        Target("deployment files", (*examples, complete), _deployment, wrong, 0.2),
        Target("settings", _SETTINGS, _setting, wrong, 0.1),
        Target("YAML values", _VALUES, _scalar, wrong, 0.3),
        Target("plan files", _plans(), _plan, wrong, 0.3),
        Target("profile files", tuple(sorted(profiles, key=len)[:2]), _profile, wrong, 0.1),
        Target("trace CSV", (_TRACE,), lambda data: _trace(data, "t.csv"), wrong, 0.3),
        Target("trace JSON lines", (_JSONL,), lambda data: _trace(data, "t.jsonl"), wrong, 0.3),
        Target("trace Parquet", (_parquet(),), lambda data: _trace(data, "t.parquet"), wrong, 0.3),
        *(_import_target(name, files) for name, files in PUBLISHED.items()),
        Target("pickled arrays", pickled, arrays_of, (ValueError,), 0.5),
        Target("Alpa profiles", alpa, _alpa, wrong, 0.5),
        Target("outcome files", (_OUTCOMES,), _outcomes, wrong, 1),
        Target("fleet keys", (b'{"fleet_key": "abc", "ray_token": "def"}',), _keys, wrong, 1),
        Target("secrets", (b"one\n", b"two three"), _secret, wrong, 0.2),
        Target("certificates", _certificates(), _certificate, wrong, 0.1),
        Target("checkpoints", _checkpoint_samples(), _checkpoint, wrong, 0.1),
    )  # fmt: skip


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _deployment(data: bytes) -> None:
    parse_deployment(
        _text(data), name="f.yaml", read_profile=_no_profile, environment={"A": "1"}, needs_profiles=False
    )


def _setting(data: bytes) -> None:
    text = "models: [{name: a, source: 'random://gpt2-tiny'}]\n"
    parse_deployment(
        text, name="f.yaml", read_profile=_no_profile, overrides=(_text(data),), needs_profiles=False
    )


def _no_profile(path: str) -> None:
    raise FileNotFoundError(0, None, path)


def _scalar(data: bytes) -> None:
    with suppress(ValueError):
        scalar(_text(data))


def _plan(data: bytes) -> None:
    parse_plan(_text(data), name="f.yaml")


def _plans() -> tuple[bytes, ...]:
    text = "api_version: v1alpha1\nkind: PlacementPlan\ngroups:\n"
    groups = '- {id: g0, devices: ["n-0:0", "n-0:1"], tensor: 2, pipeline: 1, models: [a, b]}\n'
    plan = text + groups
    return plan.encode(), format_plan(parse_plan(plan, name="p")).encode()


def _profile(data: bytes) -> None:
    parse_profile(_text(data), name="f.json")


def _trace(data: bytes, name: str) -> None:
    read_trace(data, name=name, skips_bad=bool(len(data) & 1))


@cache
def _parquet() -> bytes:
    return format_trace(read_trace(_TRACE, name="t.csv").trace, name="t.parquet")


def _import_target(name: str, files: tuple[TraceFile, ...]) -> Target:
    samples = tuple(file.raw for file in files)
    # A whole day of minutes, which takes a tenth of a second to read.
    weight = 0.01 if name == "azure-functions-2019" else 0.1
    return Target(f"import {name}", samples, _importing(name, files), (InvalidInput,), weight)


def _importing(name: str, files: tuple[TraceFile, ...]) -> object:
    def run(data: bytes) -> None:
        """In place of one of the files: of several, JSON is the last."""
        place = len(files) - 1 if data[:1] == b"{" else 0
        given = [
            TraceFile(one.name, data if number == place else one.raw) for number, one in enumerate(files)
        ]
        import_files(name, given, skips_bad=bool(len(data) & 1))

    return run


def _alpa(data: bytes) -> None:
    read_alpa(_text(data), name="f.tsv", device_type="v100")


def _outcomes(data: bytes) -> None:
    parse_outcomes(_text(data), name="f.csv", placement=_PLACEMENT)


def _keys(data: bytes) -> None:
    parsed_keys(data, Path("keys.json"))


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _secret(data: bytes) -> None:
    path = _folder() / "secret"
    path.touch(mode=0o600)
    path.write_bytes(data)
    security = Security("token", (TokenSpec("a", "a", secret_file="secret"),))
    try:
        tenants_of(security, folder=str(_folder()), environment={})
    except InvalidInput as error:
        assert not data.strip() or data.strip() not in str(error).encode() or len(data.strip()) < 8
        raise


@cache
def _certificates() -> tuple[bytes, ...]:
    authority = Authority(_folder())
    pair = authority.pair("server")
    return pair.cert.read_bytes() + b"\0" + pair.key.read_bytes(), authority.ca.read_bytes() + b"\0"


def _certificate(data: bytes) -> None:
    certificate, _, key = data.partition(b"\0")
    (_folder() / "c.pem").write_bytes(certificate)
    (_folder() / "k.pem").write_bytes(key)
    open_certificates(TlsFiles("c.pem", "k.pem", "c.pem"), folder=str(_folder()))


@cache
def _checkpoint_folder() -> Path:
    write_chat(_folder() / "chat")
    return _folder() / "chat"


@cache
def _checkpoint_files() -> dict[str, bytes]:
    names = ("config.json", "model.safetensors")
    return {name: (_checkpoint_folder() / name).read_bytes() for name in names}


def _checkpoint_samples() -> tuple[bytes, ...]:
    files = _checkpoint_files()
    return files["config.json"], files["model.safetensors"][:4096]


def _checkpoint(data: bytes) -> None:
    """In place of the configuration, or of the weights' first bytes, as its own first byte says."""
    files = _checkpoint_files()
    is_config = data[:1] in (b"{", b"[", b"")
    name = "config.json" if is_config else "model.safetensors"
    whole = data if is_config else data + files[name][len(data) :]
    (_checkpoint_folder() / name).write_bytes(whole)
    try:
        open_source(str(_checkpoint_folder()), base_dir=Path())
    finally:
        (_checkpoint_folder() / name).write_bytes(files[name])
