metadata(
    version="0.1.0",
    description="DTLS 1.2 over UDP: DtlsClient, DtlsServer.",
)

require("securesocket")
require("securesocket-options")
require("securesocket-server")
package(
    "securesocket",
    files=(
        "datagram.py",
        "datagram_aio.py",
        "datagram_errors.py",
        "datagram_server.py",
        "dtls_records.py",
        "engine/datagram_peers.py",
        "engine/datagrams.py",
    ),
    base_path="../securesocket",
    opt=3,
)
