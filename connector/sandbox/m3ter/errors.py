"""m3ter's refusals: a status and a message, nothing else."""


class Refused(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def bad_request(message: str) -> Refused:
    """A request that breaks a rule."""
    return Refused(400, message)


def not_found(kind: str, entity_id: str) -> Refused:
    """An entity that does not exist, or no longer."""
    return Refused(404, f"{kind} {entity_id} not found")
