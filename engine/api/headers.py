"""Security headers for every answer. The console's policy was tried against every widget it uses, in Chromium."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from engine.security.door_config import DoorConfig

STREAMLIT_INLINE_SCRIPT = "'sha256-THxz9J9+wf7rhwR2YkXJoSZ13UCmYyC+3lNDv2+8ugA='"
"""Hash of the one inline script in Streamlit's page; a test compares it with the installed version."""

CONSOLE_POLICY = "; ".join(
    (
        "default-src 'self'",
        f"script-src 'self' 'wasm-unsafe-eval' {STREAMLIT_INLINE_SCRIPT}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-src 'self'",
        "frame-ancestors 'none'",
    )
)
"""For pages drawn by Streamlit: it makes style sheets in the browser (inline styles) and uses WebAssembly for numbers.

No eval and nothing foreign. WebGL traces of plotly (``scattergl``) need eval and therefore stay empty: use SVG traces.
"""

PLAIN_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""For our own pages, which have no script at all."""

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: that would make browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_CACHED = ("/static/", "/quarterdeck/")
"""Scripts, styles and fonts; everything else may hold figures of the account."""


def guarded(send: Send, path: str, door: DoorConfig, extra: list[tuple[bytes, bytes]]) -> Send:
    """A ``send`` that adds the security headers and ``extra`` to the answer for ``path``."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers[name] = value
            headers.setdefault("content-security-policy", CONSOLE_POLICY)
            if door.tls:
                headers["strict-transport-security"] = "max-age=31536000"
            if not path.startswith(_CACHED):
                headers["cache-control"] = "no-store"
            for name_bytes, value_bytes in extra:
                headers.append(name_bytes.decode("latin-1"), value_bytes.decode("latin-1"))
            if "server" in headers:
                del headers["server"]
        await send(message)

    return send_with_headers
