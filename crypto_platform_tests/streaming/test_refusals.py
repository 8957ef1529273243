"""Alpaca's errors, each told apart and with what to do."""

import json
from pathlib import Path

import pytest

from crypto_platform.streaming.refusals import StreamRefusedError

FRAMES = Path(__file__).parents[1] / "fixtures" / "alpaca" / "websocket-messages.jsonl"
ERRORS = [f for f in (json.loads(line)["frame"][0] for line in FRAMES.open()) if f["T"] == "error"]
DOCUMENTED = {400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 500}


@pytest.mark.parametrize("frame", ERRORS, ids=lambda f: str(f["code"]))
def test_an_error_is_the_same_by_its_code_and_by_its_text(frame: dict) -> None:
    refusal = StreamRefusedError(frame["code"], frame["msg"])
    assert (StreamRefusedError.saying(frame["msg"]).code, str(StreamRefusedError.saying(frame["msg"]))) == (
        frame["code"],
        str(refusal),
    )


def test_every_documented_error_says_something_of_its_own() -> None:
    texts = {code: str(StreamRefusedError(code, "x")) for code in DOCUMENTED}
    remediations = {text.partition(": ")[2] for text in texts.values()}
    assert len(remediations) == len(DOCUMENTED)
    assert "not documented" in str(StreamRefusedError(499, "new"))
    assert not any("not documented" in text for text in texts.values())


@pytest.mark.parametrize(
    ("code", "says"),
    [(402, "APCA_API_SECRET_KEY"), (405, "fewer symbols"), (406, "another connection"), (407, "reads too slowly")],
)
def test_the_four_that_people_meet_say_what_to_do(code: int, says: str) -> None:
    assert says in str(StreamRefusedError(code, "x"))


def test_a_wrong_key_is_not_tried_every_second_and_a_passing_error_is() -> None:
    assert StreamRefusedError(402, "x").wait >= 30
    assert StreamRefusedError(407, "x").wait == StreamRefusedError(500, "x").wait == 0
    assert 1 < StreamRefusedError(406, "x").wait < 30
