"""Profiles: what is read, what is refused, and what a recipe sees."""

import pytest

from rowgraph.databases.settings import DatabaseSettings
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.profiles import Profile, SettingsError, load_profile, profile_names

TWO = "databases: [{name: a, role: pretrain}, {name: b, role: heldout, tasks: [t]}]\n"


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["demo", "f1", "paper"])
def test_every_shipped_profile_loads(name):
    assert load_profile(name).name == name
    assert name in profile_names()


def test_an_unknown_setting_is_refused_with_its_place_and_a_near_name(tmp_path):
    path = write(tmp_path, "extends: demo\nsage_weights: {learning_rat: 0.1}\n")
    with pytest.raises(SettingsError, match=r"`sage_weights.learning_rat`.*`learning_rate`"):
        load_profile(path)


def test_an_unknown_section_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"`sage_weight`.*`sage_weights`"):
        load_profile(write(tmp_path, TWO + "sage_weight: {hidden: 3}\n"))


def test_a_profile_that_does_not_exist_lists_those_that_do():
    with pytest.raises(SettingsError, match=r"'nope' does not exist.*demo.*f1.*paper"):
        load_profile("nope")


def test_a_value_out_of_range_names_the_setting(tmp_path):
    with pytest.raises(SettingsError, match=r"`bart_checkpoint.mask_value`.*2"):
        load_profile(write(tmp_path, TWO + "bart_checkpoint: {mask_value: 2}\n"))


def test_yaml_that_does_not_parse_names_the_file(tmp_path):
    with pytest.raises(SettingsError, match=r"mine.yaml"):
        load_profile(write(tmp_path, "databases: [unclosed\n"))


def test_extends_in_a_circle_is_refused(tmp_path):
    write(tmp_path, "extends: two\n", "one.yaml")
    write(tmp_path, "extends: one\n", "two.yaml")
    with pytest.raises(SettingsError, match="circle"):
        load_profile(tmp_path / "one.yaml")


def test_extends_keeps_what_is_not_overridden(tmp_path):
    mine = load_profile(write(tmp_path, "extends: demo\nsage_weights: {learning_rate: 0.5}\n"))
    demo = load_profile("demo")
    assert mine.sage_weights.learning_rate == 0.5
    assert mine.sage_weights.fan_out == demo.sage_weights.fan_out
    assert mine.databases == demo.databases


def test_a_profile_needs_both_roles(tmp_path):
    with pytest.raises(SettingsError, match="heldout"):
        load_profile(write(tmp_path, "databases: [{name: a, role: pretrain}]\n"))


def test_tasks_on_a_pretraining_database_are_refused():
    with pytest.raises(ValueError, match="held-out"):
        DatabaseSettings(name="a", role="pretrain", tasks=("t",))


def test_settings_that_cannot_change_a_result_stay_out_of_the_recipe():
    plain = BartCheckpointSettings()
    assert plain.model_copy(update={"device_batch": 1}).effective() == plain.effective()
    assert plain.model_copy(update={"epochs": 1}).effective() != plain.effective()


def test_a_role_and_its_tasks_do_not_change_what_a_database_contains():
    pretrain = DatabaseSettings(name="a", role="pretrain")
    heldout = DatabaseSettings(name="a", role="heldout", tasks=("t",))
    assert pretrain.effective() == heldout.effective()


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_profile("demo").sage_weights.hidden = 3


def test_a_shares_sum_other_than_one_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="must be 1"):
        load_profile(write(tmp_path, TWO + "linearized_corpus: {train: 0.9}\n"))


def test_own_past_cannot_start_from_weights_of_another_shape(tmp_path):
    section = "own_past_weights: {start: forecast_weights, output: 32}\n"
    with pytest.raises(SettingsError, match=r"own_past_weights starts from .* give both the same"):
        load_profile(write(tmp_path, TWO + section))


def test_fan_out_needs_a_number_per_layer(tmp_path):
    with pytest.raises(SettingsError, match="fan_out"):
        load_profile(write(tmp_path, TWO + "sage_weights: {fan_out: [5]}\n"))


def test_roles_partition_the_databases():
    profile = load_profile("f1")
    assert isinstance(profile, Profile)
    names = [d.name for role in ("pretrain", "heldout") for d in profile.by_role(role)]
    assert sorted(names) == sorted(d.name for d in profile.databases)


@pytest.mark.parametrize(("text", "message"), [
    ("sage_sweep: {a: {mask_probabilty: 0.5}}", r"sage_sweep\.a\.mask_probabilty.*sage_weights"),
    ("sage_sweep: {a: {mask_probability: 2}}", r"sage_sweep\.a\.mask_probability"),
    ("sage_sweep: {a-b: {}}", "letters, digits and _"),
    ("sage_sweep: {sage_weights: {}}", "the name is taken"),
    ("sage_sweep: {a: {layers: 1, fan_out: [3]}}", "layers must be those of sage_weights"),
    ("transfer_metrics: {shares: [0.1], fan_out: [3, 2], pretrainings: [b]}",
     "no pre-training 'b'; there are sage_weights"),
    ("transfer_metrics: {shares: [1.5]}", r"transfer_metrics\.shares"),
    ("transfer_metrics: {variants: [random_head]}", "random_head is no pre-trained variant"),
])
def test_a_sweep_or_transfer_that_cannot_be_run_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load_profile(write(tmp_path, f"extends: demo\n{text}\n"))


def test_a_pretraining_of_the_sweep_differs_from_sage_weights_in_what_it_says_alone(tmp_path):
    profile = load_profile(write(tmp_path, "extends: demo\nsage_sweep: {a: {gamma: 3.0}}\n"))
    assert profile.swept("a") == profile.sage_weights.model_copy(update={"gamma": 3.0})


@pytest.mark.parametrize(("text", "message"), [
    (TWO + "sage_weights: {hidden: 8}\nsage_weights: {layers: 2}\n",
     "line 3: `sage_weights` is written twice, first on line 2"),
    (TWO + "sage_weights: {hidden: 8, hidden: 16}\n", "`hidden` is written twice"),
    (TWO + "bart_checkpoint: {epochs: yes}\n", "'yes' is read in one way"),
    (TWO + "sampled_rows: {rows: 1:40}\n", "'1:40' is read in one way"),
    (TWO + "a: !!bool x\n", "the tag !!bool is not used here"),
    ("[" * 3000, "nested more than 50 levels deep"),
])
def test_yaml_that_does_not_say_what_it_seems_to_say_is_refused(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message):
        load_profile(write(tmp_path, text))


def test_a_number_may_be_written_with_an_exponent(tmp_path):
    mine = write(tmp_path, "extends: demo\nsage_weights: {learning_rate: 1e-4}\n")
    assert load_profile(mine).sage_weights.learning_rate == 1e-4


@pytest.mark.parametrize("name", ["x" * 300, "~nobody/" + "x" * 300 + ".yaml", "a\0b"])
def test_a_name_that_can_be_no_file_is_a_profile_that_does_not_exist(name):
    with pytest.raises(SettingsError, match="does not exist; known profiles"):
        load_profile(name)


def test_a_profile_that_extends_itself_by_another_way_is_a_circle(tmp_path):
    write(tmp_path, f"extends: ../{tmp_path.name}/mine.yaml\n")
    with pytest.raises(SettingsError, match="circle"):
        load_profile(tmp_path / "mine.yaml")


@pytest.mark.parametrize(("change", "message"), [
    ({"name": "a.b"}, "'a.b' cannot be the name of a database: use letters, digits"),
    ({"name": "x" * 300}, "at most 100 characters"),
    ({"name": "../a"}, "cannot be the name of a database"),
    ({"name": ""}, "cannot be the name of a database"),
    ({"tasks": ("a.b",)}, "b: 'a.b' cannot be the name of a task: use letters, digits"),
    ({"tasks": ("a b",)}, "'a b' cannot be the name of a task"),
    ({"tasks": ("ä",)}, "'ä' cannot be the name of a task"),
    ({"tasks": ("../../x",)}, "cannot be the name of a task"),
    ({"tasks": ("x" * 300,)}, "at most 100 characters"),
    ({"tasks": ("a\n",)}, "cannot be the name of a task"),
    ({"tasks": ("a-b", "a_b")}, "'a-b' and 'a_b' would be one asset"),
])
def test_a_name_that_can_be_no_asset_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DatabaseSettings(**{"name": "b", "role": "heldout", "tasks": ("t",)} | change)


def test_settings_of_tasks_that_a_profile_does_not_have_are_not_inherited(tmp_path):
    (tmp_path / "one.yaml").write_text("""
extends: demo
databases: [{name: a, role: pretrain}, {name: b, role: heldout, tasks: [t, u]}]
task_settings: {b/t: {baseline_metrics: {trees: 7}}, b/u: {baseline_metrics: {trees: 8}}}
""")
    (tmp_path / "two.yaml").write_text("""
extends: one
databases: [{name: a, role: pretrain}, {name: b, role: heldout, tasks: [u]}]
""")
    (tmp_path / "three.yaml").write_text("extends: two\ntask_settings: {b/t: {}}\n")
    assert set(load_profile(tmp_path / "two.yaml").task_settings) == {"b/u"}
    with pytest.raises(SettingsError, match="no task 'b/t'"):
        load_profile(tmp_path / "three.yaml")
