import pytest

from rowgraph.databases.database import TableSchema
from rowgraph.features.paths import paths_of


def schemas_of(**tables: dict[str, str]) -> dict[str, TableSchema]:
    return {name: TableSchema(name, "id", "time", fkeys) for name, fkeys in tables.items()}


RACING = schemas_of(circuits={}, races={"circuit": "circuits"}, drivers={"team": "teams"},
                    teams={"country": "countries"}, countries={},
                    results={"race": "races", "driver": "drivers", "team": "teams"},
                    stops={"result": "results", "tyre": "tyres"}, tyres={})
SIZES = dict.fromkeys(RACING, 10)


def names(schemas, entity, **kwargs) -> list[str]:
    sizes = kwargs.pop("sizes", dict.fromkeys(schemas, 10))
    return [str(path) for path in paths_of(schemas, entity, sizes, **{"two_hops": True, **kwargs})]


def test_every_way_of_one_and_two_keys_is_found_and_reads_well():
    assert names(RACING, "drivers") == [
        "drivers", "team → teams", "results by driver",
        "results by driver, its race → races", "results by driver, its team → teams",
        "stops by result of results by driver",
        "team → country → countries", "team → teams: drivers by team",
        "team → teams: results by team",
        "newest results by driver, its race → races",
        "newest results by driver, its race → races: results by race",
        "newest results by driver, its team → teams",
        "newest results by driver, its team → teams: drivers by team",
        "newest results by driver, its team → teams: results by team",
        "stops by result of results by driver, its tyre → tyres",
        "team → teams: results by team, its race → races",
        "team → teams: results by team, its driver → drivers"]


def test_one_key_only_where_two_are_not_wanted():
    assert names(RACING, "drivers", two_hops=False) == ["drivers", "team → teams",
                                                        "results by driver"]


def test_two_keys_to_one_parent_and_a_self_reference_stay_apart():
    posts = schemas_of(posts={"parent": "posts"}, links={"post": "posts", "related": "posts"})
    found = names(posts, "posts")
    assert len(set(found)) == len(found)
    for expected in ("posts by parent", "links by post", "links by related", "parent → posts",
                     "posts by parent of posts by parent", "parent → posts: posts by parent",
                     "links by post, its related → posts", "links by related, its post → posts"):
        assert expected in found


def test_where_several_children_name_the_same_row_the_largest_speaks():
    tables = schemas_of(people={}, teams={}, batting={"who": "people", "team": "teams"},
                        pitching={"who": "people", "team": "teams"})
    for large in ("batting", "pitching"):
        found = names(tables, "people", sizes={**dict.fromkeys(tables, 1), large: 2})
        newest = {name.split(" by ")[0] for name in found if name.startswith("newest")}
        assert newest == {f"newest {large}"}


@pytest.mark.parametrize("two_hops", [True, False])
def test_a_table_alone_has_its_own_columns(two_hops):
    assert names(schemas_of(alone={}), "alone", two_hops=two_hops) == ["alone"]
