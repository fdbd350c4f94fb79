"""Questions about bots and the account: GraphQL operations of web protocol sheet §10.6 to §10.8."""

from __future__ import annotations

from collections.abc import Sequence

from .bots import Bot, node_id
from .graphql import VIEWER_ID, Call, Json, Operation, page_of


def _listed_bots(bots: Sequence[Bot]) -> list[tuple[object, Json]]:
    return [
        (bot.bot_id, {**bot.brief(), "description": f"{bot.handle}, played by a stand-in."})
        for bot in bots
        if not bot.is_private
    ]


async def _available_bots(call: Call) -> Json:
    variables = call.variables
    own = [(bot.bot_id, bot.brief()) for bot in call.world.own_bots(call.account)]
    page = page_of(
        [*own, *_listed_bots(call.world.bots.bots)],
        variables.get("limit"),
        variables.get("cursor"),
    )
    return {"viewer": {"id": VIEWER_ID, "availableBotsConnection": page}}


async def _explore_index(_call: Call) -> Json:
    return {"exploreBotsCategoryObjects": [{"categoryName": "defaultCategory"}]}


async def _explore_list(call: Call) -> Json:
    variables = call.variables
    page = page_of(
        _listed_bots(call.world.bots.bots), variables.get("count"), variables.get("cursor")
    )
    return {"exploreBotsConnection": page}


async def _search(call: Call) -> Json:
    variables = call.variables
    wanted = variables["query"].lower()
    if variables["entityType"] == "user":
        names = [f"sim-user-{number}" for number in range(1, 8)]
        nodes: list[tuple[object, Json]] = [
            (name, {"__typename": "PoeUser", "nullableHandle": name})
            for name in names
            if wanted in name
        ]
    else:
        found = [bot for bot in call.world.bots.bots if wanted in bot.handle.lower()]
        nodes = _listed_bots(found)
    page = page_of(nodes, variables.get("count"), variables.get("cursor"))
    return {"searchEntityConnection": page}


async def _profile(call: Call) -> Json:
    handle = call.variables["handle"]
    user = {"__typename": "PoeUser", "id": node_id("PoeUser", 1), "handle": handle, "bio": ""}
    return {"user": user}


async def _bot_info(call: Call) -> Json:
    world, name = call.world, call.variables["botHandle"]
    bot = world.find_bot(name, call.account)
    if bot is not None and not world.switches.codenames_in_bot_info:
        handles = {handle.lower() for handle in (bot.handle, *bot.other_handles)}
        if name.lower() not in handles:
            bot = None
    return {
        "bot": None if bot is None else bot.full(),
        "viewer": {
            "id": VIEWER_ID,
            "submitMessageParamsAsDict": False,
            "shouldUseFinishUploadEndpoint": world.switches.upload_endpoint == "finish",
            "shouldUsePresignedUrl": False,
            "fileUploadSizeLimits": [{"sizeLimit": world.switches.upload_limit}],
        },
    }


async def _settings(call: Call) -> Json:
    account = call.account
    bot = call.world.bots.bots[0]
    return {
        "viewer": {
            "id": VIEWER_ID,
            "uid": account.user_id,
            "primaryEmail": f"{account.label}@example.invalid",
            "defaultBot": bot.brief(),
            "hasActiveSubscription": True,
            "subscription": {
                "isActive": True,
                "expiresTime": account.reset_time,
                "subscriptionProduct": {"displayName": "Poe"},
                "purchaseType": "stand_in",
                "willCancelAtPeriodEnd": False,
            },
            "messagePointInfo": account.points_info(),
        }
    }


async def _who(_call: Call) -> Json:
    return {"viewer": {"id": VIEWER_ID}}


_LIST = {"count": "int", "cursor": "str?"}
_OLD_BOT_LIST = {"cursor": "+str?", "limit": "+int?"}

TABLE: dict[str, Operation] = {
    "HandleBotLandingPageQuery": Operation({"botHandle": "=str"}, _bot_info),
    "availableBotsSelectorModalPaginationQuery": Operation(
        {
            "botSelectorFilter": "str",
            "cursor": "str?",
            "filterCanvasOnlyBots": "bool",
            "includeHomePageBotSelectorFragment": "bool",
            "limit": "int",
        },
        _available_bots,
    ),
    "BotSelectorModalQuery": Operation(_OLD_BOT_LIST, _available_bots),
    "BotSwitcherModalQuery": Operation(_OLD_BOT_LIST, _available_bots),
    "AvailableBotsListModalPaginationQuery": Operation(_OLD_BOT_LIST, _available_bots),
    "exploreBotsIndexPageQuery": Operation({"categoryName": "=str"}, _explore_index),
    "ExploreBotsListPaginationQuery": Operation({**_LIST, "categoryName": "=str"}, _explore_list),
    "SearchResultsListPaginationQuery": Operation(
        {**_LIST, "query": "=str", "entityType": "=str"}, _search
    ),
    "HandleProfilePageQuery": Operation({"handle": "=str"}, _profile),
    "settingsPageQuery": Operation({}, _settings),
    "AnnotateWithIdsProviderQuery": Operation({}, _who),
}
