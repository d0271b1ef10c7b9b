"""Text for people that is made of what cannot be trusted: names, messages of other programs, numbers of bytes."""

REDACTED = "(redacted)"


def escape(text: str, limit: int = 200) -> str:
    """`text` on one line. What a terminal or a log might obey is escaped, and bytes that are not UTF-8 become `\\xNN`."""
    visible = "".join(_visible(character) for character in text[: limit * 2])
    return visible if len(visible) <= limit else visible[: limit - 1] + "…"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()


def sentence(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters."""
    return escape(" ".join(text.split()), limit)


class Redactor:
    """Knows the secrets of this run, and takes them out of text that others wrote."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def learn(self, secret: str) -> None:
        """Longer secrets are replaced first, so that a secret that contains another one is replaced as a whole."""
        if secret:
            self._secrets = sorted({*self._secrets, secret}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text
