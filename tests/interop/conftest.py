from plugins.live import (  # noqa: F401  (pytest finds them here)
    attempt,
    clock,
    drive,
    pki,
    pytest_generate_tests,
    servers,
    session_servers,
    session_target,
    target,
)
