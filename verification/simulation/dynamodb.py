"""DynamoDB in memory: one table, with the expressions that the relay uses.

A test replays the calls of a run against moto, and compares the answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
Truth = Callable[[Item, Mapping[str, str], Mapping[str, Any]], bool]

_TOKENS = re.compile(r"[#:]?\w+|<=|>=|<>|[=<>(),]")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<=": lambda a, b: a is not None and a <= b,
    "<": lambda a, b: a is not None and a < b,
    ">=": lambda a, b: a is not None and a >= b,
}


class ConditionalCheckFailedException(ClientError):
    """The condition does not hold."""


class TransactionCanceledException(ClientError):
    """The condition of a write in a transaction does not hold, so none of them was done."""


class Exceptions:
    """The `exceptions` of a client."""

    ConditionalCheckFailedException = ConditionalCheckFailedException


class Table:
    """A table whose key is `pk`."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    def put_item(self, Item: Item, **options: Any) -> dict[str, Any]:
        key = Item["pk"]["S"]
        self._check(key, options)
        self.items[key] = _copy(Item)
        return {}

    def update_item(self, Key: Item, UpdateExpression: str, **options: Any) -> dict[str, Any]:
        key = Key["pk"]["S"]
        self._check(key, options)
        before = self.items.get(key, {})
        after = _copy(before) | _copy(Key)
        for verb, actions in _clauses(UpdateExpression):
            for action in actions:
                _act(verb, action, before, after, options)
        self.items[key] = after
        return {"Attributes": _copy(after)} if options.get("ReturnValues") == "ALL_NEW" else {}

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:
        refused = []
        for each in TransactItems:
            put = dict(each["Put"])
            try:
                self._check(put["Item"]["pk"]["S"], put)
            except ConditionalCheckFailedException:
                refused.append(True)
            else:
                refused.append(False)
        if any(refused):
            codes = ["ConditionalCheckFailed" if each else "None" for each in refused]
            response: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": ""},
                "CancellationReasons": [{"Code": each} for each in codes],
            }
            raise TransactionCanceledException(response, "TransactWriteItems")
        for each in TransactItems:
            self.put_item(**each["Put"])
        return {}

    def delete_item(self, Key: Item) -> dict[str, Any]:
        self.items.pop(Key["pk"]["S"], None)
        return {}

    def batch_get_item(self, RequestItems: Mapping[str, Any]) -> dict[str, Any]:
        ((name, wanted),) = RequestItems.items()
        keys = [key["pk"]["S"] for key in wanted["Keys"]]
        return {"Responses": {name: [_copy(self.items[key]) for key in keys if key in self.items]}}

    def _check(self, key: str, options: Mapping[str, Any]) -> None:
        item, condition = self.items.get(key, {}), options.get("ConditionExpression")
        names, values = options.get("ExpressionAttributeNames", {}), options.get("ExpressionAttributeValues", {})
        if condition and not _condition(condition)(item, names, values):
            response: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}}
            if options.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and item:
                response["Item"] = _copy(item)
            raise ConditionalCheckFailedException(response, "UpdateItem")


def _copy(item: Item) -> Item:
    """Copy an item; nobody changes what is inside an attribute."""
    return {name: dict(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, str] | None) -> Any:
    """What an attribute holds, as something to compare."""
    if attribute is None:
        return None
    ((kind, value),) = attribute.items()
    return float(value) if kind == "N" else value


@cache
def _condition(expression: str) -> Truth:
    """Read a condition."""
    reader = _Reader(_TOKENS.findall(expression))
    condition = reader.either()
    assert not reader.tokens, expression
    return condition


class _Reader:
    """Reads a condition from its tokens: `NOT` before `AND` before `OR`."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def either(self) -> Truth:
        parts = [self._both()]
        while self.tokens and self.tokens[0] == "OR":
            self._take("OR")
            parts.append(self._both())
        return lambda *given: any(part(*given) for part in parts)

    def _both(self) -> Truth:
        parts = [self._one()]
        while self.tokens and self.tokens[0] == "AND":
            self._take("AND")
            parts.append(self._one())
        return lambda *given: all(part(*given) for part in parts)

    def _one(self) -> Truth:
        token = self._take()
        if token == "NOT":
            inner = self._one()
            return lambda *given: not inner(*given)
        if token == "(":
            inner = self.either()
            self._take(")")
            return inner
        if token in {"attribute_not_exists", "attribute_exists"}:
            (name,), exists = self._list(), token == "attribute_exists"
            return lambda item, names, _: (names.get(name, name) in item) is exists
        operator = self._take("IN", *_COMPARISONS)
        if operator == "IN":
            among = self._list()
            return lambda item, names, values: item.get(names.get(token, token)) in [values[each] for each in among]
        other, compare = self._take(), _COMPARISONS[operator]
        return lambda item, names, values: compare(_value(item.get(names.get(token, token))), _value(values[other]))

    def _list(self) -> list[str]:
        self._take("(")
        among = [self._take()]
        while self._take(",", ")") == ",":
            among.append(self._take())
        return among

    def _take(self, *wanted: str) -> str:
        token = self.tokens.pop(0)
        assert not wanted or token in wanted, token
        return token


@cache
def _clauses(expression: str) -> list[tuple[str, list[str]]]:
    """Split an update into its verbs and their actions."""
    parts = re.split(r"\b(SET|REMOVE|ADD)\b", expression)[1:]
    return [
        (verb, [each.strip() for each in re.split(r",(?![^(]*\))", actions)])
        for verb, actions in zip(parts[::2], parts[1::2], strict=True)
    ]


def _act(verb: str, action: str, before: Item, after: Item, given: Mapping[str, Any]) -> None:
    names, values = given["ExpressionAttributeNames"], given["ExpressionAttributeValues"]
    if verb == "REMOVE":
        after.pop(names.get(action, action), None)
    elif verb == "ADD":
        name, value = action.split()
        total = (_value(before.get(names.get(name, name))) or 0) + _value(values[value])
        after[names.get(name, name)] = {"N": f"{total:g}"}
    else:
        name, _, value = (each.strip() for each in action.partition("="))
        if found := re.fullmatch(r"if_not_exists\(\s*(\S+)\s*,\s*(\S+)\s*\)", value):
            source, otherwise = found.groups()
            after[names.get(name, name)] = before.get(names.get(source, source), values[otherwise])
        else:
            after[names.get(name, name)] = values[value]
