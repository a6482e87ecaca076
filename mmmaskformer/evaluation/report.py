"""Results of `PanopticQuality.compute` as text, in percent with one decimal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def summary_table(result: dict) -> str:
    """All, Things, Stuff, laid out as the official evaluation prints them."""
    lines = [_line("", ("PQ", "SQ", "RQ")) + "     N"]
    for name in ("All", "Things", "Stuff"):
        group = result[name]
        line = _line(name, _percent(group)) if group["n"] else f"{name:<10}| {'not available':^19}"
        lines.append(f"{line} {group['n']:>5}")
    return "\n".join(lines)


def class_table(result: dict, categories: Iterable[dict]) -> str:
    """One line for each class that occurs, in the order of the categories."""
    rows = [(str(c.get("name", c["id"])), result["per_class"][c["id"]]) for c in categories]
    rows = [(name, row) for name, row in rows if row["tp"] + row["fp"] + row["fn"]]
    width = max([10, *(len(name) for name, _ in rows)])
    lines = [_line("", ("PQ", "SQ", "RQ", "TP", "FP", "FN"), width)]
    lines += [_line(n, (*_percent(r), r["tp"], r["fp"], r["fn"]), width) for n, r in rows]
    return "\n".join(lines)


def odd_warning(oddities: Sequence[str]) -> str:
    """One line about `PanopticQuality.oddities`; empty if there are none."""
    if not oddities:
        return ""
    more = "; ..." if len(oddities) > 3 else ""
    text = "; ".join(oddities[:3]) + more
    return f"the ground truth is counted as it is, as officially, but {text}"


def _percent(scores: dict) -> list[str]:
    return [f"{100 * scores[key]:.1f}" for key in ("pq", "sq", "rq")]


def _line(name: str, cells: Iterable, width: int = 10) -> str:
    return f"{name:<{width}}| " + "  ".join(f"{cell:>5}" for cell in cells)
