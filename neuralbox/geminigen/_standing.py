"""What GeminiGen says of an account, and of how its models are doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import Field

from .._api.fields import as_flag, as_object
from .._models.generation import Model
from ._reading import number, text


class GeminiCredit(Model):
    """What an account has left.

    Attributes:
        available: Credits that may be spent; their worth changed over time, and they are not NeuralBox's tokens.
        locked: Credits that running jobs hold.
    """

    available: float | None = None
    locked: float | None = None


class GeminiUser(Model):
    """Whose key it is. Personal data stays out of `repr`, and so of logs.

    Attributes:
        uuid: The account's.
        is_active: Whether it may be used.
        full_name: Of its owner.
        email: Of its owner.
        plan_id: Its plan.
        credit: What is left.
        benefits: `user_benefits` as it came; what is in it is not documented.
    """

    uuid: str | None = None
    is_active: bool | None = None
    full_name: str | None = Field(default=None, repr=False)
    email: str | None = Field(default=None, repr=False)
    plan_id: str | None = None
    credit: GeminiCredit = GeminiCredit()
    benefits: Sequence[Any] = Field(default=(), repr=False)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> GeminiUser:
        """Read an account; never raises."""
        credit = as_object(record.get("user_credit")) or {}
        benefits = record.get("user_benefits")
        return cls.model_construct(
            uuid=text(record.get("uuid")),
            is_active=as_flag(record.get("is_active")),
            full_name=text(record.get("full_name")),
            email=text(record.get("email")),
            plan_id=text(record.get("plan_id")),
            credit=GeminiCredit.model_construct(
                available=number(credit.get("available_credit")), locked=number(credit.get("locked_credit")), raw=credit
            ),
            benefits=tuple(benefits) if isinstance(benefits, list) else (),
            raw=record,
        )


class ModelGroupStatus(Model):
    """How a group of models has been doing.

    Attributes:
        group_key: Which.
        rates: Every number that its record has, by its own name: which there are, and whether a share is written as 0.98
            or 98, is not documented.
    """

    group_key: str | None = None
    rates: Mapping[str, float] = MappingProxyType({})

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> ModelGroupStatus:
        """Read a group; never raises."""
        rates = {name: said for name, value in record.items() if (said := number(value)) is not None}
        return cls.model_construct(group_key=text(record.get("group_key")), rates=rates, raw=record)
