"""What the tables of trials say is what their records hold, and the profile's constants are among what was tried."""

from __future__ import annotations

from gemvg_repro.grounding.samples import MODES
from tools import grpo_trials as trials
from tools.grpo_trials import PROFILE, SETTINGS, START, VARIANTS, Record, Trial


def records(seeds: range, ahead: str, by: tuple[float, ...]) -> dict[Trial, Record]:
    """Of trials that all end where they began, but for one setting, whose pure CoT gains so much in CoT, by seed."""

    def record(more: float) -> Record:
        measures = {"f1": 0.8, "reward": 1.0, "too_few/2": 0.1, "too_few/3": 0.2, "f1_draw": 0.7, "f1_best": 0.9}
        return {
            "kl": 0.0,
            "cpu_s_training": 9.0,
            **{mode: {**measures, "f1": 0.8 + more * (mode == "cot")} for mode in MODES},
        }

    made: dict[Trial, Record] = {(START, "hybrid", seed): record(0.0) for seed in seeds}
    for number, seed in enumerate(seeds):
        for variant in VARIANTS:
            for setting in SETTINGS:
                gains = by[number] if (setting, variant) == (ahead, "cot") else 0.0
                made[setting, variant, seed] = record(gains)
    return made


def test_the_profile_has_one_of_the_settings_that_were_tried() -> None:
    assert sum(trials.settings_of(setting) == PROFILE.grpo for setting in SETTINGS) == 1


def test_settings_are_ranked_by_what_the_forms_gain_in_their_own_modes() -> None:
    ahead = "F1"
    made = records(range(3), ahead, (0.03, 0.06, 0.09))
    _, _, first, *others = trials.by_setting(made, [*SETTINGS], range(3))
    assert first == f"| {ahead} (the profile's) | 1.0, 2.0, 3.0 (2.0) | 6.00 | 0.00 | 0.00 | 0.00 +- 0.00 |"
    assert len(others) == len(SETTINGS) - 1 and all(line.endswith("| 2.00 +- 0.58 |") for line in others)
    assert sum("(the profile's)" in line for line in (first, *others)) == 1
    assert (
        f"| `cot` {ahead} | 0.0, 0.0, 0.0 (0.0) | 3.0, 6.0, 9.0 (6.0) | 0.000 / 0.000 | 70.0 / 90.0 | 70.0 / 90.0 "
        "| 10.0 / 20.0 | 0.000 | 9 |" in list(trials.by_trial(made, [*SETTINGS], range(3)))
    )


def test_with_one_seed_the_error_is_over_validation_samples() -> None:
    made = records(range(1), "F1", (0.03,))
    for (setting, _, _), record in made.items():
        for mode in MODES:
            right = [1, 1, 1, 1 if setting == "F1" else 0]
            record[mode]["scores"] = [["spatial", tp, 1, 1] for tp in right] + [["temporal", 1, 1, 1]] * 4
    assert trials.over_samples(made, "sum", "F1, 800 steps", 0) == 0.0
    assert 0.05 < trials.over_samples(made, "F1", "sum", 0) < 0.2  # half a kind's, of (0, 0, 0, 1): .217 / 2
