"""Serves GET /hello of CoAP (RFC 7252) over DTLS. Files on the board: coap.crt and coap.key, what this server
presents, and ca.crt, the CA of its clients."""

from certstore.names import format_name
from securesocket import DtlsServer

PORT = 5684

# RFC 7252 3, 12.1: message types, codes, the option Uri-Path, what ends the options.
CON, NON, ACK, GET, CONTENT, NOT_FOUND = 0, 1, 2, 0x01, 0x45, 0x84
URI_PATH, PAYLOAD = 11, 0xFF


def path_of(message):
    """The Uri-Path of a request (RFC 7252 3.1)."""
    at, option, path = 4 + (message[0] & 15), 0, []
    while at < len(message) and message[at] != PAYLOAD:
        delta, size = message[at] >> 4, message[at] & 15
        at += 1
        if delta == 13:
            delta, at = 13 + message[at], at + 1
        option += delta
        if option == URI_PATH:
            path.append(message[at : at + size].decode())
        at += size
    return "/".join(path)


def answer(message, who):
    """The answer to a GET; None to anything else."""
    if len(message) < 4 or message[0] >> 6 != 1 or message[1] != GET:
        return None
    path = path_of(message)
    print("GET /%s from %s" % (path, who))
    kind, token = ACK if message[0] >> 4 & 3 == CON else NON, message[0] & 15
    code, text = (CONTENT, "hello, " + who) if path == "hello" else (NOT_FOUND, "")
    reply = bytes((0x40 | kind << 4 | token, code)) + message[2 : 4 + token]
    return reply + bytes((PAYLOAD,)) + text.encode() if text else reply


def refused(error, address):
    print("refused: %s, %s" % (type(error).__name__, error.code))


def main(address="0.0.0.0", port=PORT):
    identity = open("coap.crt").read(), open("coap.key").read()
    secure = {"request_client_certificate": "required", "trust": open("ca.crt").read()}
    with DtlsServer.bind(address, port, identity, secure=secure, on_failure=refused) as server:
        print("listening: %s, port %d" % server.address())
        while True:
            client, message = server.recv()
            who = format_name(client.peer_certificate.subject)
            reply = answer(message, who) if message else print("closed: " + who)
            reply and client.send(reply)


if __name__ == "__main__":
    main()
