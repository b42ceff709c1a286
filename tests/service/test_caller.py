"""What a caller states about its request: grace, idempotency, and the accounts that pay."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import msgspec
import pytest

from tailrace.auth.limits import NO_LIMITS, Account
from tailrace.errors import BadRequest
from tailrace.runs.accounts import Budget
from tailrace.runs.owner import Owner
from tailrace.runs.submission import LARGE_BYTES, SubmissionKey
from tailrace.service.caller import MAX_GRACE, Caller, Delivery, budgets

ME = Owner("t", "u")


def caller(**delivery: object) -> Caller:
    return Caller(owner=ME, maker=ME, delivery=msgspec.convert(delivery, Delivery))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, msgspec.UNSET), ("forever", None), ("0", 0.0), ("30", 30.0), (str(MAX_GRACE), 86_400)],
)
def test_grace(text: str | None, seconds: object) -> None:
    assert caller(grace=text).submission(b"").grace == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5", "never", str(MAX_GRACE + 1), "\u0661", "9" * 9])
def test_a_grace_that_is_none(text: str) -> None:
    with pytest.raises(BadRequest, match="x-disconnect-grace must be 'forever'") as caught:
        caller(grace=text).submission(b"")
    assert caught.value.param == "x-disconnect-grace"


def test_path_body_and_owner_identify_a_request() -> None:
    def sent(path: str, body: bytes, key: str = "", who: Owner = ME) -> SubmissionKey:
        return SubmissionKey.of(
            Caller(who, who, delivery=Delivery(path, key)).submission(body), who
        )

    same = sent("/v1/responses", b"{}")
    assert same == sent("/v1/responses", b"{}")
    others = [
        sent("/v1/messages", b"{}"),
        sent("/v1/responses", b"{ }"),
        sent("/v1/responses", b"{}", "k"),
        sent("/v1/responses", b"{}", who=Owner("t", "v")),
    ]
    assert len({(each.bucket, each.name) for each in (same, *others)}) == 5


def test_a_key_of_the_surface_stands_for_the_clients() -> None:
    asked = caller(key="theirs")
    assert asked.submission(b"").key == "theirs"
    assert asked.submission(b"", "ours").key == "ours"


def test_an_account_without_a_limit_on_runs_pays_nothing() -> None:
    free = Account("token:a", "key", NO_LIMITS)
    bound = Account("tenant:t", "tenant", msgspec.structs.replace(NO_LIMITS, concurrent_runs=2))
    assert budgets((free, bound)) == (Budget("tenant:t", runs=2),)


async def test_a_caller_of_no_transport_stays() -> None:
    me = caller()
    assert await me.is_valid()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(me.wait_for_disconnect(), 0.01)
    me.record_answer("run", ())


@pytest.mark.parametrize("size", [0, 9, LARGE_BYTES, 3 * LARGE_BYTES])
async def test_a_body_of_any_size_has_the_hash_that_stored_claims_have(size: int) -> None:
    body = b"x" * size
    sent = await caller(path="/v1/responses", key="k").repeatable_submission(body)
    assert sent is not None
    assert sent.fingerprint == sha256(b"/v1/responses\n" + body).hexdigest()


async def test_only_what_may_be_a_repetition_is_hashed_to_be_recognised() -> None:
    assert await caller().repeatable_submission(b"{}") is None
    assert await caller(retry=True).repeatable_submission(b"{}") == SubmissionKey.of(
        caller(retry=True).submission(b"{}"), ME
    )
    with pytest.raises(BadRequest):
        await caller(grace="soon").repeatable_submission(b"{}")


def test_a_submission_holds_the_body_itself() -> None:
    body = b"x" * 9
    assert caller(path="/jobs").submission(body).body is body
