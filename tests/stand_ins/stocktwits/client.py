"""A client of the stand-in for StockTwits, over real HTTP on loopback."""

import socket
from typing import Any

import requests

from local.stand_ins.stocktwits.server import StandIn

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


JPG = b"\xff\xd8\xff" + b"pixels"


GIF = b"GIF89a" + b"pixels"


HALF_AN_HOUR = 30 * 60


class Clock:
    """A clock that changes only when it is set."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client with the right token, on one kept connection, which ignores proxy settings."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {stand_in.access_token}"

    def post(self, body: str = "hello", **fields: object) -> requests.Response:
        return self.send("POST", "/api/2/messages/create.json", data={"body": body, **fields})

    def upload(self, chart: bytes, body: str = "hello") -> requests.Response:
        return self.send("POST", "/api/2/messages/create.json", data={"body": body}, files={"chart": ("c", chart)})

    def stream(self, account: str = "4242", /, **query: object) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.get(f"/api/2/streams/user/{account}.json", **query).json()["messages"]
        return messages

    def control(self, what: str, **payload: object) -> requests.Response:
        return self.send("POST", f"/_standin/{what}", json=payload)

    def get(self, path: str, **query: object) -> requests.Response:
        return self.send("GET", path, params=query)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": 10, "allow_redirects": False, **options}
        return self.session.request(method, self.stand_in.url + path, **options)


def error(answer: requests.Response) -> tuple[int, str]:
    """Return the status and the message of an error, which must have the format of the API."""
    refusal = answer.json()
    assert refusal["response"] == {"status": answer.status_code}
    return answer.status_code, refusal["errors"][0]["message"]


def bodies(stand_in: StandIn) -> list[str]:
    return [post.body for post in stand_in.posts]


def raw(stand_in: StandIn) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stand_in.port), timeout=10)


def raw_request(body: str = "body=hello", length: int | None = None) -> bytes:
    head = (
        "POST /api/2/messages/create.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer demo-token\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return (head + body).encode()


CREATE, STREAM = "messages/create", "streams/user"


def page(client: Client, **query: object) -> dict[str, Any]:
    """Return a page of the account's stream, whole."""
    answer: dict[str, Any] = client.get("/api/2/streams/user/4242.json", **query).json()
    return answer


def texts(messages: list[Any]) -> list[str]:
    return [each["body"] for each in messages]
