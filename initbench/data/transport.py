"""One HTTP request, bounded and https only: the reply's first bytes arrive within a given time or it is an error."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from initbench.errors import DataError

CHUNK_BYTES = 1 << 16
SHOWN_CHARACTERS = 300  # of what a server says
TRANSIENT_STATUS = {408, 429}  # request timeout, too many requests; and every 5xx
TRANSIENT = (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLEOFError)


class TransferError(DataError):
    """A request or transfer failed; `again` says whether the same address is worth another try."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


def is_loopback(url: str) -> bool:
    """Say whether `url` names this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """Say whether `url` may be requested: https, or plain http to this machine itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)))


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to safe addresses only, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not is_safe(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            fp.close()
            raise TransferError(f"redirected to {_plain(newurl)}, which is not https", again=False)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Reply:
    """An answer whose first bytes have arrived."""

    response: http.client.HTTPResponse
    first: bytes

    @property
    def total_bytes(self) -> int | None:
        """The length that the server announced, None where it did not."""
        length = self.response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body piece by piece, as it arrives; raises TransferError where it breaks off."""
        chunk = self.first
        while chunk:
            yield chunk
            try:
                chunk = self.response.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise explain(error) from error

    def close(self) -> None:
        """Close the connection."""
        self.response.close()


def request(url: str, *, within_s: float, read_s: float) -> Reply:
    """Return the reply to GET `url`, first bytes included, within `within_s`; later reads wait `read_s` each.

    The request runs in a thread of its own, because looking a host name up cannot be interrupted.
    Raises TransferError where there is no good answer in time.
    """
    if not is_safe(url):
        raise TransferError("not an https address", again=False)
    answer: Future[Reply] = Future()
    threading.Thread(target=_answer, args=(answer, url, read_s), daemon=True).start()
    try:
        return answer.result(timeout=max(within_s, 0))
    except TimeoutError as error:
        answer.add_done_callback(_discard)
        raise TransferError(f"no answer within {within_s:.1f} s", again=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise explain(error) from error


def _answer(answer: Future[Reply], url: str, read_s: float) -> None:
    try:
        answer.set_result(_open(url, read_s))
    except Exception as error:  # whatever it is belongs to the thread that waits
        answer.set_exception(error)


def _discard(answer: Future[Reply]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _open(url: str, read_s: float) -> Reply:
    headers = {"User-Agent": "initbench", "Accept-Encoding": "identity"}
    wanted = urllib.request.Request(url, headers=headers)  # noqa: S310 - `request` lets only safe addresses through
    opener = urllib.request.build_opener(_SafeRedirects, *_proxies(url))
    response = opener.open(wanted, timeout=read_s)
    try:
        return Reply(response, response.read1(CHUNK_BYTES))
    except BaseException:
        response.close()
        raise


def _proxies(url: str) -> list[urllib.request.ProxyHandler]:
    """Return what keeps requests to this machine itself from a proxy; others use the environment's."""
    return [urllib.request.ProxyHandler({})] if is_loopback(url) else []


def explain(error: BaseException) -> TransferError:
    """Return the TransferError that says in a few words what `error` means."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return TransferError(f"HTTP {error.code} {_plain(str(error.reason))}", again=is_transient(error.code))
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return explain(error.reason)
    again = isinstance(error, TRANSIENT) and not isinstance(error, ConnectionRefusedError)
    return TransferError("no answer in time" if isinstance(error, TimeoutError) else _words(error), again=again)


def is_transient(status: int) -> bool:
    """Say whether HTTP `status` may be another one in a moment."""
    return status >= 500 or status in TRANSIENT_STATUS


def _words(error: BaseException) -> str:
    return _plain(str(error) or type(error).__name__)


def _plain(text: str) -> str:
    """Return what a server sent as one short line: it may be long, have line breaks or steer a terminal."""
    line = " ".join(text[:SHOWN_CHARACTERS].split())
    return "".join(c if c.isprintable() else "?" for c in line)
