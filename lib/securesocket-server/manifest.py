metadata(
    version="0.1.0",
    description="SecureServerSocket, start_server: TLS servers, chosen by name, bounded by the heap.",
)

require("securesocket-identity")
require("securesocket-budget")
package(
    "securesocket",
    files=(
        "accepted.py",
        "client_hello.py",
        "engine/serving.py",
        "pair.py",
        "server.py",
        "server_aio.py",
        "server_budget.py",
        "server_context.py",
        "server_verdict.py",
    ),
    base_path="../securesocket",
    opt=3,
)
