"""No file that somebody else wrote is run: neither code beside a model, nor pickles, nor text."""

import ast
from collections.abc import Iterator

import pytest
from places import ROOT

RUNS_TEXT = frozenset({"eval", "exec", "compile", "__import__"})
UNPICKLES = frozenset({"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"})


def faults(code: str) -> Iterator[str]:
    """What of a module would run what it reads, or let another library do so or ask whether to."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        given = {one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}
        said = f"line {node.lineno}: {called}"
        if not owner and name in RUNS_TEXT:
            yield said
        if owner in UNPICKLES:
            yield said
        if called == "torch.load" and given.get("weights_only") is not True:
            yield f"{said} without weights_only=True"
        if name in {"from_pretrained", "from_config"} and owner.startswith("Auto"):
            # Without the argument, transformers asks on the terminal whether to run the code, and a yes runs it.
            if given.get("trust_remote_code") is not False:
                yield f"{said} without trust_remote_code=False"
        elif any(one.arg == "trust_remote_code" for one in node.keywords):
            yield f"{said} with trust_remote_code"
        if any(one.arg == "allow_pickle" for one in node.keywords) and given.get("allow_pickle") is not False:
            yield f"{said} with allow_pickle"


def test_no_module_runs_what_it_reads():
    modules = sorted((ROOT / "probe").rglob("*.py"))
    found = {str(path.relative_to(ROOT)): [*faults(path.read_text(encoding="utf-8"))] for path in modules}
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "code",
    [
        *("torch.load(path)", "torch.load(path, weights_only=False)", "pickle.load(file)", "eval(text)", "exec(text)"),
        *("AutoModel.from_pretrained(path)", "AutoConfig.from_pretrained(path, trust_remote_code=True)"),
        *("AutoModel.from_config(config, trust_remote_code=asked)", "load_dataset(name, trust_remote_code=True)"),
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_would_run_it_is_found(code: str):
    assert len([*faults(code)]) == 1


def test_what_runs_nothing_is_not_found():
    fine = "torch.load(path, weights_only=True)\nmodel.eval()\nre.compile(text)\nnp.load(path)"
    assert [*faults(f"{fine}\nAutoModel.from_pretrained(path, trust_remote_code=False)")] == []
