"""What a program does when a connection is refused, and what the error tells.

Every error is an OSError with a sentence that says what was found, what was expected and the remedy.
It has a class to catch, a `code` that never changes, and the facts as attributes.
"""

from securesocket import CertificateError, ClockNotSet, SecureSocket, SecureSocketError

HOST = "example.com"
PORT = 443


def main(host=HOST, port=PORT, secure=None):
    try:
        with SecureSocket(host, port, secure) as connection:
            print("accepted: %r" % connection)
    except ClockNotSet as error:
        # Raised before connecting. A board that boots in 2000 comes here until it has the time.
        refused(error, "set the clock, then connect again")
    except CertificateError as error:
        # Not the server that was asked for, or one that is badly set up. Nothing was sent to it.
        # error.certificate is what it showed, error.failures is everything that is wrong with it.
        refused(error, "tell the user; trying again does not help")
    except SecureSocketError as error:
        # The network, the protocol, the memory or an option.
        refused(error, "try again later")


def refused(error, what_to_do):
    print(repr(error))  # as the last line of a traceback shows it
    print("code:", error.code)
    print("so:", what_to_do)


if __name__ == "__main__":
    main()
