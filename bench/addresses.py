"""Addresses that may hold a secret, and how they are shown."""

import re
from urllib.parse import unquote

SECRET = re.compile(r"(pass|pwd|token|secret|key|auth|credential|sig)[^=:;&]*[=:]|//[^/]*@", re.IGNORECASE)
"""What a parameter of an address holds, by its name or within its value, where it is for nobody's eyes."""
HIDDEN = "***"
SHORTEST = 4
"""Characters of a secret that is looked for by itself in a sentence, where a shorter one is part of many a word."""


def redacted(uri: str) -> str:
    """An address without the user, password and secret parameters that it may carry.

    A password may hold what should have been written in percent: everything up to the last `@` is taken for it, so that
    of an ambiguous address too much is hidden rather than too little.
    """
    scheme, _, host, parameters = _parts(uri)
    return scheme + host + "".join(map(_hidden, parameters))


def concealed(text: str, address: str) -> str:
    """Words of others, such as a library's error, without what is secret in `address` or in any address they hold.

    They may name an address as a whole, in parts, or with its percents resolved.
    """
    text = text.replace(address, redacted(address))
    _, login, _, parameters = _parts(address)
    secrets = [each.partition("=")[2] for each in parameters if _hidden(each) != each]
    secrets.append(login.partition(":")[2] or login)
    for form in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        if len(form) >= SHORTEST:
            text = text.replace(form, HIDDEN)
    return re.sub(r"[a-z][\w+.-]*://[^\s'\"<>]+", lambda found: redacted(found[0]), text, flags=re.IGNORECASE)


def _parts(uri: str) -> tuple[str, str, str, list[str]]:
    """Scheme with its `://`, who logs in, host and path, and the parameters with what opens each (`?name=value`)."""
    before, separator, rest = uri.partition("://")
    scheme, rest = (before + separator, rest) if separator else ("", uri)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    login = ""
    if "@" in authority or ":" in authority:  # else an @ belongs to a path
        login, _, rest = rest.rpartition("@")
    host, *parameters = re.split("(?=[?&;#])", rest)
    return scheme, login, host, parameters


def _hidden(parameter: str) -> str:
    """A parameter, its value hidden where it is secret; both may be written in percent."""
    name, equals, _ = parameter.partition("=")
    return f"{name}={HIDDEN}" if equals and SECRET.search(unquote(unquote(parameter))) else parameter


def holds_secret(uri: str) -> bool:
    """Whether an address carries a password, or a parameter that is for nobody's eyes."""
    _, login, _, parameters = _parts(uri)
    return ":" in login or any(_hidden(each) != each for each in parameters)
