"""Checks of what the language model reads: whose rows, in which split, and how much is masked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

CORPUS = {
    "no_heldout_rows": "Every row of the corpus is of a database whose role in the profile is "
                       "pretrain, and every such database is there.",
    "splits_disjoint": "No row of a database stands in two of train, validation and test.",
}
MASKS = {"masking_rates": "As many table names, attribute names and cell values are masked as the "
                          "settings say (on a sample of the training rows)."}
ROWS = 4_000  # training rows whose masks are counted
SIGMAS = 4.0  # half-width of the interval: one check of 5,000 fails by chance


def no_heldout_rows(parquet: Path, roles: Mapping[str, str]) -> dg.AssetCheckResult:
    """Whose rows stand in the corpus.

    Args:
        parquet: as `write_corpus` wrote it.
        roles: of every database, as the profile says.
    """
    corpus = pl.read_parquet(parquet, columns=["database"])
    rows = dict(corpus.group_by("database").len().sort("database").iter_rows())
    strangers = [f"{d} ({n:,} rows, {roles.get(d, 'not in the profile')})"
                 for d, n in rows.items() if roles.get(d) != "pretrain"]
    absent = [d for d, role in roles.items() if role == "pretrain" and d not in rows]
    said = f"{corpus.height:,} rows of {', '.join(rows)}, all with the role pretrain"
    if strangers:
        said = (f"the corpus holds rows of {', '.join(strangers)}; nothing that was made of it "
                "may be compared on them: run linearized_corpus again with force, and report this")
    elif absent:
        said = f"no row of {', '.join(absent)}; raise sampled_rows.rows"
    return dg.AssetCheckResult(
        check_name="no_heldout_rows", passed=not (strangers or absent), description=said,
        severity=dg.AssetCheckSeverity.ERROR if strangers else dg.AssetCheckSeverity.WARN,
        metadata={"rows_by_database": dg.MetadataValue.json(rows)})


def splits_disjoint(parquet: Path) -> dg.AssetCheckResult:
    """Rows that stand in two splits; and, to be known, test texts that training rows spell too."""
    corpus = pl.read_parquet(parquet)
    of_row = corpus.group_by("database", "table", "row").agg(
        pl.col("split").n_unique().alias("splits"), pl.len().alias("times"))
    shared = of_row.filter(pl.col("splits") > 1)
    train = corpus.filter(split="train")["text"].unique()
    test = corpus.filter(split="test")["text"]
    seen = float(test.is_in(train.implode()).mean() or 0.0)
    said = f"{of_row.height:,} rows, each in one split"
    if shared.height:
        first = shared.sort("database", "table", "row").row(0, named=True)
        said = (f"{shared.height:,} rows stand in two splits, the first is row {first['row']} of "
                f"{first['database']}.{first['table']}; test losses are too low: run "
                "linearized_corpus again with force")
    return dg.AssetCheckResult(
        check_name="splits_disjoint", passed=not shared.height,
        description=f"{said}; {seen:.1%} of test texts are spelt by a training row too (other rows "
        "with equal cells)", metadata={
            "rows_in_two_splits": shared.height,
            "rows_given_twice": int((of_row["times"] > 1).sum()),
            "test_texts_in_train": round(seen, 6),
            "rows_by_split": dg.MetadataValue.json(
                dict(corpus.group_by("split").len().sort("split").iter_rows()))})


def masking_rates(parquet: Path, checkpoint: Path,
                  settings: Mapping[str, Any]) -> dg.AssetCheckResult:
    """How many units of training rows the encoder does not see, in the first epoch.

    A row that would lose nothing loses one unit, so a share may lie above its probability by as
    much as such rows are expected to bring.

    Args:
        parquet: the corpus that it was trained on.
        checkpoint: folder with its tokenizer.
        settings: effective ones of `bart_checkpoint`.
    """
    from transformers import AutoTokenizer

    from rowgraph.language.batching import MaskedRows, tokenize_rows
    from rowgraph.language.masking import KINDS
    from rowgraph.language.settings import BartCheckpointSettings
    from rowgraph.randomness import generator
    from rowgraph.rows.linearization import MARKERS

    settings = BartCheckpointSettings.model_validate(settings)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    train = pl.read_parquet(parquet).filter(split="train")
    chosen = generator("masking_rates", settings.seed).permutation(train.height)[:ROWS]
    rows = tokenize_rows(train[np.sort(chosen)], tokenizer, settings.max_tokens)
    masked = MaskedRows(rows, "train", settings, mask_token=tokenizer.mask_token_id,
                        pad_token=tokenizer.pad_token_id, start_token=tokenizer.bos_token_id)
    hidden = np.flatnonzero(masked.inputs == tokenizer.mask_token_id)
    opened_by = masked.inputs[hidden - 1]
    odds = np.array([settings.mask_table, settings.mask_attribute, settings.mask_value])
    units, found = rows.units, []
    spared = np.ones(len(rows))  # chance of each row that no unit is drawn
    np.multiply.at(spared, units.row, 1 - odds[units.kind])
    for kind, name in enumerate(KINDS):
        of_kind, p = units.kind == kind, float(odds[kind])
        count = max(1, int(of_kind.sum()))
        share = float((opened_by == tokenizer.convert_tokens_to_ids(MARKERS[kind])).sum()) / count
        forced = float(spared[np.unique(units.row[of_kind])].sum()) / count if p else 0.0
        width = SIGMAS * float(np.sqrt(p * (1 - p) / count))
        found.append({"unit": name, "units": int(of_kind.sum()), "masked": round(share, 4),
                      "setting": p, "from": round(max(0.0, p - width), 4),
                      "to": round(min(1.0, p + forced + width), 4)})
    whole = int(np.isin(np.arange(len(rows)), units.row[odds[units.kind] > 0]).sum()
                - len(np.unique(np.searchsorted(masked.input_offsets, hidden, side="right"))))
    off = [f for f in found if not f["from"] <= f["masked"] <= f["to"]]
    said = ", ".join(f"{f['masked']:.1%} of {f['unit']} units (set to {f['setting']:.0%})"
                     for f in found)
    wrong = [f"{f['unit']} is not within {f['from']:.1%} to {f['to']:.1%}" for f in off]
    wrong += [f"{whole} rows lose nothing"] if whole else []
    return dg.AssetCheckResult(
        check_name="masking_rates", passed=not wrong, severity=dg.AssetCheckSeverity.WARN,
        description=f"masked: {said}" + (f"; {'; '.join(wrong)}: the checkpoint was not trained as "
                                         "its settings say, report this" if wrong else ""),
        metadata={"rows": len(rows), "rows_that_lose_nothing": whole,
                  "by_kind": dg.MetadataValue.table([dg.TableRecord(f) for f in found])})
