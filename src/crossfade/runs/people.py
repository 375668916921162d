"""Who acts: the account that the operating system vouches for, and the name that it goes by."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping

from crossfade.errors import UsageError
from crossfade.runs.carried import Carried

_LONGEST = 200


class Person(Carried):
    """``name`` is what counts in rules and groups; ``account``, ``uid`` and ``host`` are what the machine knows,
    so that a name taken from CROSSFADE_USER can be told from the account behind it."""

    name: str
    account: str = ""
    uid: int | None = None
    host: str = ""

    def __str__(self) -> str:
        return self.name if self.name == self.account else f"{self.name} (as {self.account}@{self.host})"


def whoami(environment: Mapping[str, str] | None = None) -> Person:
    """The person behind this process: the account of its real user id, and the name in CROSSFADE_USER when
    that is set.  ``LOGNAME`` and its kin are not asked.  ``UsageError`` for a name that cannot be one."""
    given = (os.environ if environment is None else environment).get("CROSSFADE_USER", "")
    uid = os.getuid()
    try:
        account = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a user without a name
        account = f"uid{uid}"
    if given and (given != given.strip() or len(given) > _LONGEST or not given.isprintable()):
        raise UsageError(
            f"{given!r} is not a person's name",
            where="CROSSFADE_USER",
            todo="set it to a name as it stands in the groups, without white space around it, or unset it",
        )
    return Person(name=given or account, account=account, uid=uid, host=socket.gethostname())
