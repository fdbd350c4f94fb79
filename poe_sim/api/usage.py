"""GET /v1/models, and the points: balance and history. Official API sheet §6 and §8."""

from __future__ import annotations

import time
from decimal import Decimal

from aiohttp import web

from . import errors
from .catalogue import Json
from .face import Charge
from .visit import Visit

_USD_PER_POINT = Decimal("0.00003")
_DAY_US = 86_400_000_000


async def models(visit: Visit) -> web.StreamResponse:
    """List the catalogue. It needs no key, so it proves no key good."""
    visit.entry["key"] = visit.face.label_of(visit.key())
    data = visit.face.models.entries(visit.face.switches.hidden_models)
    return visit.answer({"object": "list", "data": data})


async def balance(visit: Visit) -> web.StreamResponse:
    """Answer with the points that are left."""
    account = visit.admit(counted=False)
    now = time.time_ns() // 1000
    dollars = f"{account.points * _USD_PER_POINT:.2f}"
    return visit.answer(
        {
            "current_point_balance": account.points,
            "plan_points_balance": account.points,
            "addon_point_balance": 0,
            "plan_balance_usd": dollars,
            "addon_balance_usd": "0.00",
            "total_balance_usd": dollars,
            "points_cycle_start_time": now - 10 * _DAY_US,
            "next_daily_grant_time": None,
            "next_monthly_grant_time": now + 20 * _DAY_US,
            "next_daily_grant_amount": None,
            "next_monthly_grant_amount": 1_000_000,
            "auto_recharge": {
                "enabled": False,
                "status": None,
                "threshold_points": None,
                "threshold_usd": None,
                "refill_points": None,
                "refill_usd": None,
                "last_recharge_failure_time": None,
            },
        }
    )


async def history(visit: Visit) -> web.StreamResponse:
    """List the charges, newest first, a page at a time."""
    account = visit.admit(counted=False)
    given = visit.request.query.get("limit", "20")
    if not given.isdigit() or not 1 <= int(given) <= 100:
        raise errors.unsupported_value("limit", given, "1 to 100")
    limit = int(given)
    rows = list(account.history)
    after = visit.request.query.get("starting_after")
    if after is not None:
        ids = [row.query_id for row in rows]
        if after not in ids:
            raise errors.invalid(f"Unknown query_id: '{after}'.", param="starting_after")
        rows = rows[ids.index(after) + 1 :]
    page = rows[:limit]
    return visit.answer(
        {
            "has_more": len(rows) > limit,
            "length": len(page),
            "data": [_row(visit, row, account.label) for row in page],
        }
    )


def _row(visit: Visit, row: Charge, label: str) -> Json:
    age = time.time() - row.created_us / 1_000_000
    # The cost of a call may show only after a while (§8).
    cost = row.cost if age >= visit.face.switches.cost_delay else 0
    said = cost - min(cost, row.prompt_cost)
    return {
        "query_id": row.query_id,
        "bot_name": row.bot,
        "creation_time": row.created_us,
        "usage_type": "API",
        "cost_points": cost,
        "cost_usd": f"{cost * _USD_PER_POINT:.5f}",
        "cost_breakdown_in_points": {
            "Input": f"{min(cost, row.prompt_cost)} points",
            "Output": f"{said} points",
            "Total": f"{cost} points",
        },
        "api_key_name": label,
        "chat_name": None,
        "canvas_tab_name": None,
    }
