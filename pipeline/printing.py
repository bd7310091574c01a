"""Plans as people and programs read them."""

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pipeline.costing import Costs
from pipeline.environment import Environment
from pipeline.plan import Planned
from rowgraph.costs.sizes import Figure
from rowgraph.costs.world import Estimate


def print_plan(title: str, due: list[Planned], costs: Costs, places: Mapping[str, str]) -> None:
    """A line an asset, the sums below; the reasons have a column where they differ, and `places`,
    where an asset would run, where there are any."""
    reasons = {p.node.name: _in_brief(p.why) for p in due}
    alike = len(set(reasons.values())) == 1
    if alike:
        title += f": {reasons[due[0].node.name]}"
    numbers = ("disk", "memory", *(("GPU",) if costs.on_gpu else ()), "hours")
    rows = []
    for p in due:
        name = p.node.name
        found = costs.estimates[name]
        figures = [found and found.disk, *_memory(found, costs.on_gpu)]
        rows.append([name, *map(_bytes, figures), _hours_cell(costs, name)])
    rows.append(["in all (memory: the most)", *_total_cells(costs)])
    columns = ["asset", *numbers]
    for column, of_assets in (("where", places), ("why", {} if alike else reasons)):
        if of_assets:
            columns.append(column)
            rows = [[*row, of_assets.get(row[0], "")] for row in rows]
    print_table(title, columns, rows, numbers)


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]],
                numbers: Collection[str] = ()) -> None:
    """A table on the terminal; a column of `numbers` is flush right and never broken."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", highlight=False, box=box.SIMPLE_HEAD,
                  pad_edge=False)
    for i, column in enumerate(columns):
        number = column in numbers
        table.add_column(column, overflow="fold", justify="right" if number else "left",
                         no_wrap=number or (i == 0 and not numbers))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_suspects(databases: Iterable[dict[str, Any]]) -> None:
    """Columns that may have been written after their row, and the line to write about each."""
    import typer

    found = [(d["database"], s) for d in databases for s in d.get("suspects") or ()]
    if found:
        typer.secho("Written after their row? docs/decisions/knowledge.md; what you know better "
                    "goes under `knowledge:` of the database", bold=True)
    for database, s in found:
        typer.echo(f"{database} {s['table']}.{s['column']}: ", nl=False)
        typer.secho(s["done"] if s["done"] != "nothing" else "nothing is done", nl=False,
                    fg="yellow" if s["done"] == "nothing" else "green")
        typer.echo(f"\n  {s['sign']}: {s['evidence']}\n  otherwise: {s['otherwise']}")


def plan_notes(environment: Environment, costs: Costs) -> list[str]:
    """What the figures rest on, and the next move where hours are missing."""
    facts, notes = costs.facts, []
    peak = max((e.meanwhile for e in costs.estimates.values() if e),
               key=lambda figure: figure.value, default=Figure(0))
    if peak.value:
        notes.append(f"While it runs, one asset needs up to {_bytes(peak)} of disk on top.")
    unknown = [n for n, found in facts.databases.items() if found is None]
    expected = [n for n, found in facts.databases.items() if found and
                found.rows.basis == "expected"]
    rows = f"rows that the profile expects ({', '.join(expected)}) and on " if expected else ""
    notes.append(f"~ rests on {rows}round figures: docs/decisions/costs.md.")
    if facts.tokens_a_row.basis == "assumed":
        notes.append(f"Rows are assumed to have {facts.tokens_a_row.value:.0f} tokens until a "
                     "checkpoint of this profile is finished.")
    if large := _too_large(costs):
        notes.append(f"More memory than this machine has: {', '.join(large)}. Fine-tuning needs "
                     "less with a lower bart_checkpoint.device_batch, which changes no result.")
    if unknown:
        notes.append(f"? where nothing is known of {', '.join(unknown)}: set its `expected_rows` "
                     "in the profile, or put it into ROWGRAPH_DATABASES.")
    if costs.rates is not None:
        header, how = costs.rates.header, costs.rates.how
        threads = f"{header['threads']} thread{'s' * (header['threads'] != 1)}"
        notes.append(f"Hours as measured on {header['date']}, {header['device_name']}, {threads}; "
                     f"language model: {how['trained_tokens']}. Blank: minutes, or a download.")
    elif costs.unmeasured:
        notes.append("Hours are not measured on this machine for these shapes; "
                     f"`rowgraph plan -p {environment.profile.name} --measure` does it, in seconds "
                     "to two minutes.")
    return notes


def plan_content(environment: Environment, planned: list[Planned], costs: Costs,
                 places: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The plan for a program: bytes, hours, what each figure rests on, and `places`."""
    totals = totals_of(costs)
    facts, rates = costs.facts, costs.rates
    return {
        "profile": environment.profile.name,
        "home": str(environment.home),
        "run": [{"asset": p.node.name, "why": p.why, **_asset_content(p.node.name, costs),
                 **({"where": places[p.node.name]} if places else {})}
                for p in planned if p.action == "run"],
        "up_to_date": [p.node.name for p in planned if p.action != "run"],
        "totals": {name: _content(figure) for name, figure in totals.items()},
        "rows": {name: _content(found and found.rows) for name, found in facts.databases.items()},
        "tokens_a_row": _content(facts.tokens_a_row),
        "throughput": rates and {"per_second": dict(rates.per_second), "how": dict(rates.how),
                                 **rates.header},
    }


def _asset_content(name: str, costs: Costs) -> dict[str, Any]:
    found = costs.estimates[name]
    if found is None:
        return dict.fromkeys(("disk_bytes", "meanwhile_bytes", "memory_bytes", "gpu_bytes", "work",
                              "hours"))
    host, *gpu = _memory(found, costs.on_gpu)
    return {
        "disk_bytes": _content(found.disk),
        "meanwhile_bytes": _content(found.meanwhile),
        "memory_bytes": _content(host),
        "gpu_bytes": _content(gpu[0]) if gpu else None,
        "work": found.work and {**_content(found.work.amount), "kind": found.work.kind},
        "hours": _content(costs.hours(name)),
    }


def _content(figure: Figure | None) -> dict[str, Any] | None:
    return figure and {"value": round(figure.value, 4), "basis": figure.basis}


def _memory(found: Estimate | None, on_gpu: bool) -> list[Figure | None]:
    """Of the host and, where a GPU computes, of the GPU."""
    if found is None:
        return [None] * (1 + on_gpu)
    return [found.host, found.device] if on_gpu else [found.host + found.device]


def _too_large(costs: Costs) -> list[str]:
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [name for name, found in costs.estimates.items()
            if found is not None and _memory(found, costs.on_gpu)[0].value > here]


def totals_of(costs: Costs) -> dict[str, Figure | None]:
    """Disk and hours in all, the largest memory; hours only if every asset's are known."""
    known = [e for e in costs.estimates.values() if e is not None]
    memory = [_memory(e, costs.on_gpu) for e in known]
    hours = [h for name in costs.estimates if (h := costs.hours(name)) is not None]
    totals = {"disk_bytes": sum((e.disk for e in known), Figure(0)),
              "memory_bytes": _largest(m[0] for m in memory)}
    if costs.on_gpu:
        totals["gpu_bytes"] = _largest(m[1] for m in memory)
    totals["hours"] = None if costs.unmeasured else sum(hours, Figure(0))
    return totals


def _largest(figures: Iterable[Figure]) -> Figure:
    return max(figures, key=lambda figure: figure.value, default=Figure(0))


def _total_cells(costs: Costs) -> list[str]:
    totals = totals_of(costs)
    hours = totals.pop("hours")
    return [*map(_bytes, totals.values()), "?" if hours is None else _hours(hours)]


def _hours_cell(costs: Costs, name: str) -> str:
    found, hours = costs.estimates[name], costs.hours(name)
    if found is None:
        return "?"
    if found.work is None:
        return ""
    return "?" if hours is None else _hours(hours)


def _bytes(figure: Figure | None) -> str:
    """`~59 GB`: decimal units, two digits below ten."""
    if figure is None:
        return "?"
    value = figure.value
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{_mark(figure)}{value:.1f} {unit}" if value < 9.95 else (
        f"{_mark(figure)}{value:.0f} {unit}")


def _hours(figure: Figure) -> str:
    """`~6,600`: two digits."""
    value = float(f"{figure.value:.2g}")
    if value < 0.01:
        return "<0.01"
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{_mark(figure)}{value:,.{digits}f}"


def _mark(figure: Figure) -> str:
    return "" if figure.basis == "measured" else "~"


def _in_brief(why: str) -> str:
    """Without the list of what runs before: that is the order of the table."""
    own = [reason for reason in why.split("; ") if not reason.startswith("upstream runs")]
    return "; ".join(own) or "upstream runs"
