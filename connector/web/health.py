"""Up or down, and nothing else."""

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

bp = Blueprint("health", __name__, url_prefix="/health")


@bp.get("/live")
def live() -> ResponseReturnValue:
    """The process answers."""
    return "up\n", 200


@bp.get("/ready")
def ready() -> ResponseReturnValue:
    """Events can be taken and queued: the database and Redis answer."""
    services = current_app.extensions["services"]
    try:
        with services.reading() as db:
            db.execute(text("SELECT 1"))
        services.redis.ping()
    except (SQLAlchemyError, RedisError):
        return "down\n", 503
    return "up\n", 200
