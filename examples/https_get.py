"""Fetch a page over HTTPS; print its status, size and title, and how the server was verified.

On a board: set HOST, then `mpremote run https_get.py`; or copy it there, and
`import https_get; https_get.main("example.com")`.
"""

from securesocket import SecureSocket

HOST = "example.com"
PORT = 443
PATH = "/"

# What is held of the page at once.
CHUNK_BYTES = 1024


def main(host=HOST, port=PORT, path=PATH, secure=None):
    # Connects and verifies. Whatever is wrong with the server raises here, before the request is
    # sent. secure: options as in {"trust": ...}; without them, the store in flash decides.
    with SecureSocket(host, port, secure) as connection:
        # HTTP/1.0: the page ends where the connection ends.
        connection.write("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, host))
        status = connection.readline().decode().strip()
        while connection.readline().strip():
            pass  # the headers end with an empty line
        size, title = read_page(connection)
        report = connection.report  # while it is open: the cipher is the connection's

    print("%s, %d bytes, title: %s" % (status, size, title))
    print(report)


def read_page(connection):
    size = 0
    title = None
    while True:
        chunk = connection.read(CHUNK_BYTES)
        size += len(chunk)
        start = chunk.find(b"<title>")
        if start >= 0:
            title = chunk[start + 7 :].split(b"<")[0].decode()
        # Only the last chunk is shorter. To read once more would wait for the server to close the TCP
        # connection too, and some servers wait for us to do that.
        if len(chunk) < CHUNK_BYTES:
            return size, title


if __name__ == "__main__":
    main()
