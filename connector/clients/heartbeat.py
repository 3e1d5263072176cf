"""A sign of life for whoever watches from outside, who notices when it stays away."""

import requests

SECONDS = 5
DONE = range(200, 300)


def beat(url: str) -> str | None:
    """Ask for this address once; why that failed, without the address, which is a secret; None where it did not."""
    session = requests.Session()
    # Neither proxies nor passwords from the environment, as with every other call.
    session.trust_env = False
    try:
        with session, session.get(url, timeout=SECONDS, allow_redirects=False, stream=True) as answer:
            return None if answer.status_code in DONE else f"it answered with status {answer.status_code}"
    except (requests.RequestException, ValueError) as error:
        return type(error).__name__
