"""Removes greetings, please and thanks around a word: "please stop", "STOP. Thank you"."""

from collections.abc import Iterable

from msgspec import Struct

_LONGEST = 4  # words
_MOST_WORDS = 14
_MOST_PARTICLES = 4


class Courtesies(Struct, frozen=True):
    """Folded phrases, and folded particles of languages that write without spaces, the longest first."""

    phrases: frozenset[str] = frozenset()
    particles: tuple[str, ...] = ()
    ends: frozenset[str] = frozenset()
    """The first and the last words of the phrases."""

    def strip(self, folded: str) -> str:
        """What is left of a folded text, without spaces; empty if it has no courtesy."""
        words = folded.split()
        if 1 < len(words) <= _MOST_WORDS:
            while words[0] in self.ends and (size := self._size(words, at_end=False)):
                del words[:size]
            while words[-1] in self.ends and (size := self._size(words, at_end=True)):
                del words[-size:]
        whole = folded.replace(" ", "")
        left = "".join(words)
        for _ in range(_MOST_PARTICLES if not left.isascii() else 0):
            left = self._without_particle(left)
        return "" if left == whole else left

    def _size(self, words: list[str], *, at_end: bool) -> int:
        """How many words the courtesy at one end has; 0 without one, or if nothing else is there."""
        for size in range(min(_LONGEST, len(words) - 1), 0, -1):
            if " ".join(words[-size:] if at_end else words[:size]) in self.phrases:
                return size
        return 0

    def _without_particle(self, text: str) -> str:
        if text.endswith(self.particles):
            longest = next(each for each in self.particles if text.endswith(each))
            return text[: -len(longest)] or text
        if text.startswith(self.particles):
            longest = next(each for each in self.particles if text.startswith(each))
            return text[len(longest) :] or text
        return text


def courtesies(phrases: Iterable[str], particles: Iterable[str]) -> Courtesies:
    """The courtesies of these folded phrases and particles."""
    known = frozenset(phrases)
    ends = frozenset(word for phrase in known for word in (phrase.split()[0], phrase.split()[-1]))
    return Courtesies(known, tuple(sorted(set(particles), key=len, reverse=True)), ends)
