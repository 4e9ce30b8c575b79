"""A run's id moves with everything that can move its numbers, and with nothing else."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.corpora.manifest import MANIFEST
from gemvg_repro.runs.directory import run_id
from gemvg_repro.runs.json_files import RunError
from gemvg_repro.study import content, identity
from gemvg_repro.study.identity import Identity, threads_of
from gemvg_repro.study.parameters import (
    DataParameters,
    EvaluateParameters,
    Parameters,
    ReportParameters,
    TrainParameters,
)
from gemvg_repro.study.spec import Resolver, RunSpec, resolve
from gemvg_repro.study.variants import FORMS, TRAINED


class Profile:
    """A profile whose parts the tests change."""

    def __init__(self, **parts: Any) -> None:
        self.parts = {
            "name": "small",
            "threads": {"sft": 1, "cot_sft": 1, "cot": 2, "direct": 2, "hybrid": 2, "evaluate": 1},
            "base": "",
            "data": {"train": 100, "seed": 1},
            "model": {"width": 64},
            "sft": {"lr": 0.01},
            "cot_sft": {"lr": 0.02},
            "grpo": {"lr": 0.03},
            "evaluate": {"batch": 8},
        } | parts

    @property
    def name(self) -> str:
        return str(self.parts["name"])

    @property
    def threads(self) -> dict[str, int]:
        return dict(self.parts["threads"])

    @property
    def overrides(self) -> dict[str, Any]:
        return {}

    def model_dump(self) -> dict[str, Any]:
        return copy.deepcopy(self.parts)


def spec_of(parameters: Parameters, profile: Profile | None = None) -> RunSpec[Any]:
    return Resolver(lambda name, _: profile or Profile())(parameters)  # type: ignore[arg-type, return-value]


def identify(parameters: Parameters, profile: Profile | None = None) -> Identity:
    return spec_of(parameters, profile).identity


def ids(profile: Profile) -> dict[str, str]:
    """The ids of all runs of seed 0."""
    ids = {"data": identify(DataParameters(), profile).id}
    for mode in TRAINED:
        ids[mode] = identify(TrainParameters(mode=mode), profile).id
        ids[f"evaluate-{mode}"] = identify(EvaluateParameters(mode=mode), profile).id
    return ids | {"evaluate-base": identify(EvaluateParameters(mode="base"), profile).id}


def moved(profile: Profile) -> set[str]:
    """The runs that are other runs under this profile."""
    before, after = ids(Profile()), ids(profile)
    return {name for name in before if before[name] != after[name]}


GRPO = set(FORMS)
MORE = {"sft_more", "sft_labels", "sft_draws"}
BASE = {"evaluate-base"}


def and_evaluations(modes: set[str]) -> set[str]:
    return modes | {f"evaluate-{mode}" for mode in modes}


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ({}, set()),
        ({"name": "renamed"}, set()),
        ({"data": {"train": 101, "seed": 1}}, {"data", *and_evaluations(set(TRAINED))} | BASE),
        ({"model": {"width": 65}}, and_evaluations(set(TRAINED)) | BASE),
        ({"base": "miniature/base"}, and_evaluations(set(TRAINED)) | BASE),
        ({"sft": {"lr": 0.011}}, and_evaluations(set(TRAINED))),
        ({"cot_sft": {"lr": 0.021}}, and_evaluations({"cot_sft", *GRPO, *MORE})),
        ({"grpo": {"lr": 0.031}}, and_evaluations({*GRPO, *MORE})),
        ({"evaluate": {"batch": 9}}, {f"evaluate-{mode}" for mode in TRAINED} | BASE),
        ({"threads": Profile().threads | {"cot": 1}}, and_evaluations({"cot"})),
    ],
)
def test_a_part_of_the_profile_moves_the_runs_that_it_concerns(change: dict[str, Any], runs: set[str]) -> None:
    assert moved(Profile(**change)) == runs


def test_versions_of_libraries_and_of_the_results_move_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids(Profile())
    monkeypatch.setattr(identity, "RESULTS_VERSION", 99)
    raised = ids(Profile())
    monkeypatch.setattr(identity, "library_versions", lambda: {"torch": "3.0"})
    assert all(len({before[run], raised[run], ids(Profile())[run]}) == 3 for run in before)


def test_seed_and_steps_move_a_training_and_where_it_starts_from_but_not_its_data() -> None:
    plain, seed, steps = (
        spec_of(TrainParameters.check({"mode": "hybrid", **more})) for more in ({}, {"seed": 1}, {"steps": 5})
    )
    assert plain.identity.name == "hybrid-s0" and seed.identity.name == "hybrid-s1"
    for other in (seed, steps):
        assert other.identity.id != plain.identity.id
        assert other.data.identity.id == plain.data.identity.id
        assert other.start and plain.start and other.start.identity.id != plain.start.identity.id


def test_what_asks_only_where_and_how_does_not_move_the_id() -> None:
    same = [TrainParameters(), TrainParameters(runs="elsewhere"), TrainParameters(prerequisites="require")]
    assert len({identify(a, Profile()).id for a in same}) == 1
    assert len({identify(DataParameters(drawn=n), Profile()).id for n in (1, 2)}) == 1


@pytest.mark.parametrize(
    ("mode", "needs"),
    [("sft", ["data"]), ("cot_sft", ["sft-s0", "data"]), ("direct", ["cot_sft-s0", "data"])],
)
def test_prerequisites(mode: str, needs: list[str]) -> None:
    training = spec_of(TrainParameters(mode=mode))
    assert [need.identity.name for need in training.needs] == needs
    evaluation = spec_of(EvaluateParameters(mode=mode))
    assert evaluation.identity.name == f"evaluate-{mode}-s0"
    assert [need.identity.id for need in evaluation.needs] == [training.identity.id, ids(Profile())["data"]]


def test_the_content_of_the_base_moves_every_run_but_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "PACKAGE", tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "SHA256SUMS").write_text("0  model.safetensors\n")
    before = ids(Profile(base="base"))
    (tmp_path / "base" / "SHA256SUMS").write_text("1  model.safetensors\n")
    after = ids(Profile(base="base"))
    assert {run for run in before if before[run] == after[run]} == {"data"}


def test_the_base_is_one_run_whatever_the_seed() -> None:
    zero, one = (spec_of(EvaluateParameters(mode="base", seed=seed)) for seed in (0, 1))
    assert zero.identity.name == "evaluate-base" and zero.identity.id == one.identity.id
    assert [need.identity.name for need in zero.needs] == ["data"]


def test_parameters_survive_json() -> None:
    """What is hashed is what parameters.json holds: tuples have become lists."""
    what = identify(TrainParameters(), Profile(model={"layers": (1, 2)}))
    assert run_id(json.loads(json.dumps(dict(what.parameters)))) == what.id


def test_given_data_is_known_by_its_content(tmp_path: Path) -> None:
    def identity_of() -> Identity:
        return identify(TrainParameters(data=str(tmp_path / "boxes.json")), Profile())

    (tmp_path / "boxes.json").write_text('{"images": [{"file_name": "a.jpg"}]}')
    (tmp_path / "a.jpg").write_bytes(b"12345")
    first = identity_of().id
    (tmp_path / "unrelated.jpg").touch()
    assert identity_of().id == first != identify(TrainParameters(), Profile()).id
    (tmp_path / "a.jpg").write_bytes(b"54321")
    second = identity_of().id
    (tmp_path / "boxes.json").write_text('{"images": [{"file_name": "a.jpg"}], "info": 1}')
    assert len({first, second, identity_of().id}) == 3


def test_a_checkpoint_is_its_run_or_its_weights(tmp_path: Path) -> None:
    known = run_id({"seed": 0})
    run = tmp_path / f"hybrid-s0-{known}"
    (run / "model").mkdir(parents=True)
    (run / "parameters.json").write_text(json.dumps({"id": known, "seed": 0}))
    for folder in (run, run / "model"):
        evaluation = identify(EvaluateParameters(checkpoint=str(folder)), Profile())
        assert evaluation.name == "evaluate-hybrid-s0" and evaluation.parameters["model"] == known
    (run / "parameters.json").write_text(json.dumps({"id": known, "seed": 1}))
    with pytest.raises(RunError, match="edited, or the folder renamed"):
        identify(EvaluateParameters(checkpoint=str(run)), Profile())
    weights = tmp_path / "My Weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"1")
    first = identify(EvaluateParameters(checkpoint=str(weights)), Profile())
    (weights / "model.safetensors").write_bytes(b"22")
    second = identify(EvaluateParameters(checkpoint=str(weights)), Profile())
    (weights / "preprocessor_config.json").write_text('{"max_pixels": 784}')
    third = identify(EvaluateParameters(checkpoint=str(weights)), Profile())
    (weights / "optimizer.pt").touch()  # nobody reads it
    assert first.name == "evaluate-my-weights" and len({first.id, second.id, third.id}) == 3
    assert third.id == identify(EvaluateParameters(checkpoint=str(weights)), Profile()).id


def test_another_folder_within_a_run_is_not_the_run_s_model(tmp_path: Path) -> None:
    known = run_id({"seed": 0})
    averaged = tmp_path / f"hybrid-s0-{known}" / "averaged"
    averaged.mkdir(parents=True)
    (averaged.parent / "parameters.json").write_text(json.dumps({"id": known, "seed": 0}))
    (averaged / "model.safetensors").write_bytes(b"1")
    evaluation = identify(EvaluateParameters(checkpoint=str(averaged)), Profile())
    assert evaluation.name == "evaluate-averaged" and evaluation.parameters["model"] != known


def test_given_shards_are_known_by_their_content_and_the_size_that_pictures_are_scaled_to(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"content": "0123"}')
    params = TrainParameters(data=str(tmp_path))
    smaller = Profile(data=Profile().parts["data"] | {"most_pixels": 1000})
    assert identify(params, Profile()).id != identify(params, smaller).id


def test_composed_data_is_known_by_what_it_leaves_out_and_not_by_where_its_files_lie(tmp_path: Path) -> None:
    def id_of(root: Path, exclude: str = "") -> str:
        return resolve(DataParameters.check({"roots": f"coco={root}", "exclude": exclude})).identity.id

    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        (root / "annotations").mkdir(parents=True)
        (root / "annotations" / "instances_train2017.json").write_text("{}")
    benchmark, pictures = tmp_path / "boxes.json", tmp_path / "pictures"
    benchmark.write_text("[]")
    pictures.mkdir()
    assert id_of(one) == id_of(other)
    known = [id_of(one), id_of(one, f"b={benchmark}"), id_of(one, f"b={benchmark},{pictures}")]
    (pictures / "a.jpg").write_bytes(b"1")
    assert len({*known, id_of(one, f"b={benchmark},{pictures}")}) == 4


def test_the_report_is_no_run() -> None:
    with pytest.raises(TypeError, match="only reads"):
        identify(ReportParameters(), Profile())


def test_threads_are_the_kind_s_or_one() -> None:
    assert [threads_of(kind, Profile()) for kind in ("sft", "cot", "data")] == [1, 2, 1]


def test_resolving_is_the_same_in_another_process_and_loads_no_torch() -> None:
    program = "import sys; from gemvg_repro.study.spec import resolve; "
    program += "from gemvg_repro.study.parameters import TrainParameters; "
    program += "print(resolve(TrainParameters(mode='cot', runs='/r')).folder); print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.split() == [str(resolve(TrainParameters(mode="cot", runs="/r")).folder), "False"]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"seed": 0, "validation": 5, "test": 8, "understanding_test": 2}},
        {"recipe": {"seed": 0, "validation": 5, "test": 7, "understanding_test": 3}},
    ],
)
def test_what_is_only_tested_on_moves_the_data_and_its_evaluations_and_no_training(change: dict[str, Any]) -> None:
    recipe = {"seed": 0, "validation": 5, "test": 7, "understanding_test": 2}
    data = {"recipe": recipe, "benchmarks": {"mig_bench": 12}}
    before, after = ids(Profile(data=data)), ids(Profile(data=data | change))
    assert {run for run in before if before[run] != after[run]} == {"data", *(f"evaluate-{m}" for m in TRAINED)} | BASE
    exported = ids(Profile(data=data | {"benchmarks": {"mig_bench": 13}}))
    assert {run for run in before if before[run] != exported[run]} == {"data"}
    more = {"recipe": recipe | {"validation": 6}}  # GRPO watches its rewards on validation
    assert ids(Profile(data=data | more))["hybrid"] != before["hybrid"]


def test_more_prompts_move_the_data_its_evaluations_and_of_trainings_only_grpo_and_its_controls() -> None:
    composition = {"recipe": "miniature/recipe.yaml"}
    before, after = (ids(Profile(data={"composition": composition | {"prompts": n}})) for n in (10, 20))
    expected = {"data", *GRPO, *MORE, *(f"evaluate-{mode}" for mode in TRAINED)} | BASE
    assert {run for run in before if before[run] != after[run]} == expected


def test_the_folder_of_the_images_is_in_the_id_as_what_it_leads_to(tmp_path: Path) -> None:
    def id_of(folder: str, **more: str) -> str:
        params = TrainParameters.check({"data": str(tmp_path / folder / "boxes.json"), **more})
        return identify(params, Profile()).id

    for folder, images in (("beside", "beside"), ("below", "below/images"), ("apart", "elsewhere")):
        (tmp_path / folder).mkdir()
        (tmp_path / images).mkdir(exist_ok=True)
        (tmp_path / folder / "boxes.json").write_text('{"images": [{"file_name": "a.jpg"}]}')
        (tmp_path / images / "a.jpg").write_bytes(b"12345")
    elsewhere = str(tmp_path / "elsewhere")
    same = [id_of("beside"), id_of("below"), id_of("apart", images=elsewhere), id_of("beside", images=elsewhere)]
    assert len(set(same)) == 1 and id_of("apart") != same[0]
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(b"54321")
    assert id_of("beside", images=elsewhere) != same[0]
