"""Asks a CoAP server (RFC 7252) for a resource over DTLS, and prints the answer.

On a board: set HOST, copy the server's CA there as ca.crt, then `mpremote run coap_client.py`.
"""

import os

from securesocket import DtlsClient

HOST = "coap.local"
PORT = 5684

# RFC 7252 3, 12.1: the code of GET, the option Uri-Path, what ends the options.
GET, URI_PATH, PAYLOAD = 0x01, 11, 0xFF
# RFC 7252 4.8: how long to wait for an answer before asking again, and how often.
ACK_TIMEOUT_MS, MAX_RETRANSMIT = 2000, 4


def ask(connection, request, token):
    """The answer to a request. Datagrams may be lost, so it is sent more than once."""
    timeout_ms = ACK_TIMEOUT_MS
    for _ in range(MAX_RETRANSMIT + 1):
        connection.send(request)
        try:
            answer = connection.recv(timeout_ms=timeout_ms)
            if answer[4 : 4 + len(token)] == token:
                return answer
        except OSError as error:
            if error.code != "receive-timeout":
                raise
        timeout_ms *= 2
    raise OSError("no answer")


def main(host=HOST, port=PORT, path="time", ca="ca.crt"):
    client = DtlsClient.bind()
    # Raises, and sends nothing, unless this CA has issued the server's certificate for this host.
    with client.connect(host, port, {"trust": open(ca).read()}) as connection:
        print("verified: %s" % connection.report.anchor)
        token = os.urandom(2)
        # Version 1, confirmable, the token's length; then the code and the number of this message.
        request = bytes((0x40 | len(token), GET)) + os.urandom(2) + token
        request += bytes((URI_PATH << 4 | len(path),)) + path.encode()
        answer = ask(connection, request, token)
        code = answer[1]
        text = answer.split(b"\xff", 1)[-1] if PAYLOAD in answer else b""
        print("answer %d.%02d: %s" % (code >> 5, code & 31, text.decode()))


if __name__ == "__main__":
    main()
