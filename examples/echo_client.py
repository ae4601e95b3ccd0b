"""Sends lines to an echo server, and prints what comes back.

On a board: set HOST, copy the server's CA there as ca.crt, then `mpremote run echo_client.py`.
"""

from securesocket import SecureSocket

HOST = "echo.local"
PORT = 4777
LINES = ("one", "two", "three")


def main(host=HOST, port=PORT, ca="ca.crt", lines=LINES):
    # Raises, and sends nothing, unless this CA has issued the server's certificate for this host.
    with SecureSocket(host, port, {"trust": open(ca).read()}) as server:
        print("verified: %s" % server.report.anchor)
        for line in lines:
            server.write(line + "\n")
            answer = server.readline().decode().strip()
            print("sent %r, got %r" % (line, answer))


if __name__ == "__main__":
    main()
