"""How stores and certificates look at a REPL."""

from .dates import text
from .errors import SecureSocketError
from .names import format_name


def describe(store):
    """What a store has, when it was built and where it is: a line of text."""
    try:
        count = sum(1 for _ in store.numbers())
        said = "%d certificates" % count
        if store.identity_count:
            said += ", %d identities" % store.identity_count
        return "%s, built %s, %s" % (said, text(store.build_time), _where(store))
    except SecureSocketError as error:
        return "%s, cannot be read: %s" % (_where(store), error.code)


def _where(store):
    if hasattr(store, "base"):
        changed = "" if store.changes is None else ", changes in " + store.path
        return _where(store.base) + changed
    return "in memory" if store.path is None else store.path


def certificate(shown):
    """The subject and the end of the validity of a Certificate."""
    try:
        return "%s, until %s" % (format_name(shown.subject), text(shown.not_after))
    except SecureSocketError as error:
        return "damaged: %s" % error.code
