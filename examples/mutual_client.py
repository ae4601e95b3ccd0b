"""A client of a tenant: shows its certificate, and prints what the server answers, or why there is no answer.

Files on the board: the tenant's CA as NAME-ca.crt; this client's CLIENT.crt and CLIENT.key.
"""

from securesocket import SecureSocket, SecureSocketError


def text(path):
    with open(path) as file:
        return file.read()


def main(tenant, client=None, host=None, port=4777):
    """client: whose certificate to show, None for nobody's; host: where to connect, if not to the name."""
    name = tenant + ".example"
    options = {"trust": text(tenant + "-ca.crt"), "server_name": name}
    if client is not None:
        options["identity"] = (text(client + ".crt"), text(client + ".key"))
    try:
        with SecureSocket(host or name, port, options) as server:
            print("answer: " + server.readline().decode().strip())
    except SecureSocketError as error:
        print("no answer: %s, %s: %s" % (type(error).__name__, error.code, error))
