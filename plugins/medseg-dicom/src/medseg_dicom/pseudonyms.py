"""New names for patients and objects: the same for the same, as long as the key is the same."""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass, field

from pydicom.uid import UID

_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Pseudonyms:
    """A keyed one-way map: nobody without the key can tell which name belonged to which.

    Args:
        key: secret bytes; random, and so lost with the run, if not given.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def uid(self, uid: str) -> str:
        """The new UID, as DICOM PS3.5, B.2 makes one of a UUID; the standard's own stay."""
        if not uid or UID(uid).name != uid:
            return uid
        return UID(f"2.25.{uuid.UUID(bytes=self._digest('uid', uid.encode())[:16], version=5).int}")

    def patient(self, identifier: bytes) -> str:
        """A number for a patient, so that two of them stay two; nothing for nothing.

        Args:
            identifier: as the file has it: decoded, IDs in letters that are not known would become one.
        """
        return f"P{self._digest('patient', identifier).hex()[:12].upper()}" if identifier else ""

    def _digest(self, purpose: str, text: bytes) -> bytes:
        return hmac.new(self.key, purpose.encode() + b"\0" + text, hashlib.sha256).digest()


def is_secret(key: bytes) -> bool:
    """Whether a key is long enough that it cannot be tried out."""
    return len(key) >= _SHORTEST_KEY
