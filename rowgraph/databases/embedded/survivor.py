"""rel-survivor: every season of the Survivor television show, from `gamebot-lite` (survivoR).

Facts are dated by the broadcast of their episode, the jury's votes by the finale, a castaway's
profile by the premiere of the first season. Rows about people outside a season's cast (stand-ins,
team captains) and advantages without an episode have no parent or no time and are left out.

A sample draws whole seasons, since votes and challenges tie all of a cast together. It takes turns
among those on the air at the test timestamp, those on the air at the validation timestamp, and the
rest: only the first have test labels, only the second have them in the first validation window, and
there are one or two of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .folder import write_folder
from .spec import DatabaseSpec, TableSpec, entity_task, link_task

if TYPE_CHECKING:
    import sqlite3

    import polars as pl

# Columns of the source left out, by "table.column" with * as a wildcard, and why.
LEAKS = {
    "seasons.winner*": "known at the finale; the row's time is the premiere",
    "seasons.runner_ups": "known at the finale",
    "seasons.final_vote": "known at the finale",
    "seasons.n_finalists": "known at the finale",
    "seasons.n_jury": "known at the finale",
    "seasons.viewers*": "audience, known after the season",
    "seasons.rank": "a ranking of finished seasons",
    "episodes.viewers": "audience, counted after the broadcast",
    "episodes.imdb_rating": "ratings of years after the broadcast",
    "episodes.n_ratings": "ratings of years after the broadcast",
    "castaways.date_of_death": "known after the row's time",
    "castaway_seasons.result": "known at elimination; the row's time is the premiere",
    "castaway_seasons.place": "known at elimination",
    "castaway_seasons.castaways_order": "known at elimination",
    "castaway_seasons.episode": "the episode of the elimination",
    "castaway_seasons.day": "the day of the elimination",
    "castaway_seasons.jury*": "known at elimination",
    "castaway_seasons.finalist": "known at the finale",
    "castaway_seasons.winner": "known at the finale",
    "castaway_seasons.ack*": "how a castaway left, known at elimination",
    "confessionals.exp_*": "expectations fitted on whole seasons",
    "castaway_scores.*": "a table of scores over finished seasons",
}

FILES = ("advantage_details", "advantage_movement", "boot_order", "castaway_details", "castaways",
         "challenge_description", "challenge_results", "confessionals", "episodes", "jury_votes",
         "season_summary", "tribe_mapping", "vote_history")

AIRED = """(SELECT version_season, episode, version_season || ' ' || episode AS episode_id,
    CAST(episode_date AS TIMESTAMP) AS date FROM episodes)"""
SPANS = """(SELECT version_season, MIN(CAST(episode_date AS TIMESTAMP)) AS premiere,
    MAX(CAST(episode_date AS TIMESTAMP)) AS finale FROM episodes GROUP BY version_season)"""
CASTAWAY = "version_season || ' ' || castaway_id AS castaway_season_id"
CAST = f"(SELECT version_season, castaway_id, {CASTAWAY} FROM castaways)"
IN_EPISODE = {"castaway_season_id": "castaway_seasons", "episode_id": "episodes"}
CHALLENGE = "version_season || ' ' || challenge_id AS challenge_id"
ADVANTAGE = "version_season || ' ' || advantage_id AS advantage_id"


def _of_castaway(name: str, source: str, columns: str,
                 extra: dict[str, str] | None = None) -> TableSpec:
    """A table of facts about one castaway in one episode."""
    return TableSpec(name, f"""SELECT date, castaway_season_id, episode_id, {columns}
        FROM {source} JOIN {AIRED} USING (version_season, episode)
        JOIN {CAST} USING (version_season, castaway_id)""", time_col="date",
                     fkeys={**IN_EPISODE, **(extra or {})}, owners=("castaway_season_id",))


TABLES = (
    TableSpec("seasons", f"""SELECT version_season AS season_id, premiere AS date, season_name,
        version AS franchise, season AS season_number, location, country, tribe_setup, n_cast,
        n_tribes, timeslot FROM season_summary JOIN {SPANS} USING (version_season)""",
              pkey="season_id", time_col="date"),
    TableSpec("episodes", f"""SELECT episode_id, date, version_season AS season_id, episode,
        episode_title, episode_label, episode_length
        FROM episodes JOIN {AIRED} USING (version_season, episode)""",
              pkey="episode_id", time_col="date", fkeys={"season_id": "seasons"},
              owners=("season_id",)),
    TableSpec("castaways", f"""SELECT castaway_id, date, full_name, collar, gender,
        personality_type, occupation, three_words, hobbies, pet_peeves,
        CAST(substr(date_of_birth, 1, 4) AS BIGINT) AS birth_year
        FROM castaway_details JOIN (
            SELECT castaway_id, MIN(premiere) AS date
            FROM castaways JOIN {SPANS} USING (version_season) GROUP BY castaway_id
        ) USING (castaway_id)""", pkey="castaway_id", time_col="date",
              kept_by=("castaway_seasons",)),
    TableSpec("castaway_seasons", f"""SELECT {CASTAWAY}, premiere AS date, castaway_id,
        version_season AS season_id, castaway AS nickname, age, city, state, original_tribe
        FROM castaways JOIN {SPANS} USING (version_season)""",
              pkey="castaway_season_id", time_col="date",
              fkeys={"castaway_id": "castaways", "season_id": "seasons"}, owners=("season_id",)),
    _of_castaway("eliminations", "boot_order", "day, boot_order_position, result"),
    _of_castaway("tribe_mapping", "tribe_mapping", "day, tribe, tribe_status"),
    TableSpec("challenges", f"""SELECT {CHALLENGE}, date, episode_id, challenge_number,
        challenge_type, name, description, reward, balance, endurance, fire, food, knowledge, maze,
        memory, mud, precision, puzzle, race, strength, water
        FROM challenge_description JOIN {AIRED} USING (version_season, episode)""",
              pkey="challenge_id", time_col="date", fkeys={"episode_id": "episodes"},
              owners=("episode_id",)),
    _of_castaway("challenge_results", "challenge_results", f"""{CHALLENGE}, tribe, tribe_status,
        challenge_type, outcome_type, result, chosen_for_reward, sit_out, order_of_finish""",
                 {"challenge_id": "challenges"}),
    _of_castaway("confessionals", "confessionals", "confessional_count, confessional_time"),
    TableSpec("votes", f"""SELECT date, episode_id, castaway_season_id AS voter_id,
        version_season || ' ' || vote_id AS target_id, day, tribe, tribe_status, immunity,
        vote_event, vote_event_outcome, split_vote, nullified, tie, vote_order
        FROM vote_history JOIN {AIRED} USING (version_season, episode)
        JOIN {CAST} USING (version_season, castaway_id)""", time_col="date",
              fkeys={"episode_id": "episodes", "voter_id": "castaway_seasons",
                     "target_id": "castaway_seasons"}, owners=("episode_id",)),
    TableSpec("advantages", f"""SELECT {ADVANTAGE}, COALESCE(moved, finale) AS date,
        version_season AS season_id, advantage_type, clue_details, location_found, conditions
        FROM advantage_details JOIN {SPANS} USING (version_season) LEFT JOIN (
            SELECT version_season, advantage_id, MIN(date) AS moved
            FROM advantage_movement JOIN {AIRED} USING (version_season, episode) GROUP BY ALL
        ) USING (version_season, advantage_id)""", pkey="advantage_id", time_col="date",
              fkeys={"season_id": "seasons"}, owners=("season_id",)),
    _of_castaway("advantage_movements", "advantage_movement",
                 f"{ADVANTAGE}, day, event, success, votes_nullified",
                 {"advantage_id": "advantages"}),
    TableSpec("jury_votes", f"""SELECT finale AS date, castaway_season_id AS juror_id,
        version_season || ' ' || finalist_id AS finalist_id, CAST(vote AS DOUBLE) AS vote
        FROM jury_votes JOIN {SPANS} USING (version_season)
        JOIN {CAST} USING (version_season, castaway_id)""", time_col="date",
              fkeys={"juror_id": "castaway_seasons", "finalist_id": "castaway_seasons"},
              owners=("juror_id",)),
)

NEXT = "n.date > t.timestamp AND n.date <= t.timestamp + INTERVAL '{timedelta}'"
PLAYING = f"""
WITH playing AS (
    SELECT t.timestamp, c.castaway_season_id
    FROM timestamps t JOIN castaway_seasons c ON c.date <= t.timestamp
    WHERE EXISTS (FROM episodes n WHERE n.season_id = c.season_id AND {NEXT})
      AND NOT EXISTS (FROM eliminations p
                      WHERE p.castaway_season_id = c.castaway_season_id AND p.date <= t.timestamp)
)"""

TASKS = (
    entity_task(
        "castaway-eliminated", "binary_classification",
        "Will a castaway who is still playing be eliminated within two weeks of broadcasts?",
        "14 days", "castaway_seasons", "castaway_season_id", "eliminated", f"""{PLAYING}
SELECT t.timestamp, t.castaway_season_id,
    CAST(COUNT(n.castaway_season_id) > 0 AS INTEGER) AS eliminated
FROM playing t
LEFT JOIN eliminations n ON n.castaway_season_id = t.castaway_season_id AND {NEXT}
GROUP BY ALL""", windows=30),
    entity_task(
        "castaway-votes", "regression",
        "How many votes will a castaway who is still playing receive in two weeks of broadcasts?",
        "14 days", "castaway_seasons", "castaway_season_id", "votes_against", f"""{PLAYING}
SELECT t.timestamp, t.castaway_season_id, COUNT(n.target_id) AS votes_against
FROM playing t
LEFT JOIN votes n ON n.target_id = t.castaway_season_id AND {NEXT}
GROUP BY ALL""", windows=30),
    link_task(
        "castaway-vote-target", "Against whom will a castaway vote in four weeks of broadcasts?",
        "28 days", ("castaway_seasons", "voter_id"), ("castaway_seasons", "target_id"), 5, f"""
SELECT t.timestamp, n.voter_id, LIST(DISTINCT CAST(n.target_id AS BIGINT)) AS target_id
FROM timestamps t
JOIN votes n ON {NEXT}
JOIN castaway_seasons c ON c.castaway_season_id = n.voter_id AND c.date <= t.timestamp
WHERE n.target_id IS NOT NULL
GROUP BY ALL"""),
)

VAL, TEST = "2022-10-01", "2024-10-01"

SPEC = DatabaseSpec(
    name="rel-survivor",
    description="Survivor, the television show, 2000-2026: seasons, castaways, challenges, votes.",
    val_timestamp=VAL, test_timestamp=TEST, entity_table="seasons", tables=TABLES, tasks=TASKS,
    strata=f"""SELECT version_season, CASE WHEN premiere <= '{TEST}' AND finale > '{TEST}' THEN 0
        WHEN premiere <= '{VAL}' AND finale > '{VAL}' THEN 1 ELSE 2 END FROM {SPANS}""")


def build(data: Path, folder: Path, entities: int | None = None) -> dict[str, int]:
    """Build rel-survivor into an empty folder.

    Args:
        data: the folder inside `gamebot_lite` that holds its SQLite file.
        folder: an empty folder.
        entities: seasons to draw; None builds in full.

    Returns:
        Dangling foreign keys that were nulled, by "table.column".
    """
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"{(data / 'gamebot.sqlite').as_uri()}?mode=ro",
                                 uri=True)) as connection:
        sources = {name: _read(connection, name) for name in FILES}
    return write_folder(folder, SPEC, sources, entities)


def _read(connection: sqlite3.Connection, name: str) -> pl.DataFrame:
    """A table of the SQLite file; dtypes follow from all of its rows."""
    import polars as pl

    cursor = connection.execute(f'SELECT * FROM "{name}"')
    return pl.DataFrame(cursor.fetchall(), schema=[column[0] for column in cursor.description],
                        orient="row", infer_schema_length=None)
